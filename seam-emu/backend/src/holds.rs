//! The engine of holds: which LP must stay where it is, and until when. Pure; time and places are handed in.

use rig_wire::event::HoldEnd;
use rig_wire::plan::{Hold, HoldStart, Point, Since, Until};
use std::collections::{HashMap, HashSet};

/// What came of an LP standing at a place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// It must execute the instruction again.
    pub stay: bool,
    /// What happened to holds, in this order.
    pub changes: Vec<Change>,
}

/// What happens to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It begins.
    Began(usize),
    /// It ends.
    Ended(usize, HoldEnd),
}

/// The moment of a decision.
pub struct Now<'a> {
    /// The emulator's clock.
    pub ns: u64,
    /// Instructions that an LP has executed.
    pub instructions: &'a dyn Fn(u16) -> u64,
}

/// Holds of all updates, and how far each LP has come in the present one.
#[derive(Debug, Default)]
pub struct Holds {
    schedules: Vec<Vec<Hold>>,
    current: Option<usize>,
    /// The upload of the present update has begun, and no LP has entered its section yet.
    is_before_section: bool,
    /// LPs that have entered the present update.
    entered: HashSet<u16>,
    passes: HashMap<(HoldStart, u16, Point), u32>,
    began: HashMap<usize, Began>,
    ended: Vec<bool>,
    /// Points that somebody waits at or waits for: only these are counted.
    interesting: HashSet<Point>,
}

/// How things stood when a hold began.
#[derive(Clone, Copy, Debug)]
struct Began {
    ns: u64,
    passes: u32,
    instructions: u64,
}

impl Holds {
    /// Holds for the updates to come; `waits_for_update` is false when the first list is in force at once.
    pub fn new(schedules: Vec<Vec<Hold>>, waits_for_update: bool) -> Self {
        let mut holds = Self { schedules, ..Self::default() };
        if !waits_for_update {
            holds.enter(0);
        }
        holds
    }

    /// Nothing is held in any update.
    pub fn is_empty(&self) -> bool {
        self.schedules.iter().all(Vec::is_empty)
    }

    /// The upload of the next update begins. That matters only to an update with a hold that is in force from then on.
    pub fn upload_begins(&mut self) {
        // An upload that the kernel refused never came to its section: this one takes its place.
        let next = if self.is_before_section { self.current } else { None };
        let next = next.unwrap_or_else(|| self.current.map_or(0, |i| i + 1));
        if self.schedules.get(next).is_some_and(|holds| holds.iter().any(|hold| hold.from == HoldStart::Upload)) {
            self.enter(next);
            self.is_before_section = true;
        }
    }

    /// An LP enters the function that every LP enters once in an update: the next update begins when it has been there.
    pub fn enters_update(&mut self, lp: u16) {
        if !self.is_before_section && (self.current.is_none() || self.entered.contains(&lp)) {
            self.enter(self.current.map_or(0, |i| i + 1));
        }
        self.is_before_section = false;
        self.entered.insert(lp);
    }

    fn enter(&mut self, index: usize) {
        self.current = Some(index);
        self.entered.clear();
        self.passes.clear();
        self.began.clear();
        self.ended = vec![false; self.holds().len()];
        self.interesting = self.holds().iter().flat_map(points).collect();
    }

    fn holds(&self) -> &[Hold] {
        self.current.and_then(|i| self.schedules.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The LP stands at one instruction, which is all these points. Unless it must stay, the passes count as made, but for
    /// those of accesses: they are made when [`Holds::passed`] says so. Holds at one place are served one after another.
    pub fn at(&mut self, lp: u16, points: &[Point], now: &Now<'_>) -> Decision {
        let mut decision = Decision::default();
        for point in points.iter().filter(|p| self.interesting.contains(p)).cloned().collect::<Vec<_>>() {
            let is_here = |h: &Hold| {
                let is_in_force = !self.is_before_section || h.from == HoldStart::Upload;
                is_in_force && h.lp == lp && h.at == point && h.nth == self.passes(h.from, lp, &point) + 1
            };
            for hold in (0..self.holds().len()).filter(|i| is_here(&self.holds()[*i])).collect::<Vec<_>>() {
                if !self.ended[hold] && self.stays(hold, now, &mut decision) {
                    decision.stay = true;
                    return decision;
                }
            }
        }
        for point in points.iter().filter(|p| !matches!(p, Point::Load { .. } | Point::Store { .. })) {
            self.passed(lp, point);
        }
        decision
    }

    /// The LP has passed the point.
    pub fn passed(&mut self, lp: u16, point: &Point) {
        if self.interesting.contains(point) {
            let counted: &[HoldStart] =
                if self.is_before_section { &[HoldStart::Upload] } else { &[HoldStart::Upload, HoldStart::Section] };
            for from in counted {
                *self.passes.entry((*from, lp, point.clone())).or_insert(0) += 1;
            }
        }
    }

    fn passes(&self, from: HoldStart, lp: u16, point: &Point) -> u32 {
        self.passes.get(&(from, lp, point.clone())).copied().unwrap_or(0)
    }

    /// Must the LP of this hold stay?
    fn stays(&mut self, hold: usize, now: &Now<'_>, decision: &mut Decision) -> bool {
        let began = if let Some(began) = self.began.get(&hold) {
            *began
        } else {
            let began = self.begin(hold, now);
            self.began.insert(hold, began);
            decision.changes.push(Change::Began(hold));
            began
        };
        let h = &self.holds()[hold];
        let elapsed_ns = now.ns.saturating_sub(began.ns);
        let end = if self.satisfied(h, began, elapsed_ns, now) {
            HoldEnd::Satisfied
        } else if elapsed_ns >= h.limit_ns {
            HoldEnd::Expired
        } else {
            return true;
        };
        self.ended[hold] = true;
        decision.changes.push(Change::Ended(hold, end));
        false
    }

    fn begin(&self, hold: usize, now: &Now<'_>) -> Began {
        let hold = &self.holds()[hold];
        let (passes, instructions) = match &hold.until {
            Until::Passed { lp, at, .. } => (self.passes(hold.from, *lp, at), 0),
            Until::Instructions { lp, .. } => (0, (now.instructions)(*lp)),
            Until::ElapsedNs(_) => (0, 0),
        };
        Began { ns: now.ns, passes, instructions }
    }

    fn satisfied(&self, hold: &Hold, began: Began, elapsed_ns: u64, now: &Now<'_>) -> bool {
        match &hold.until {
            Until::Passed { lp, at, nth, since } => {
                let before = if *since == Since::Hold { began.passes } else { 0 };
                self.passes(hold.from, *lp, at).saturating_sub(before) >= *nth
            }
            Until::Instructions { lp, count } => (now.instructions)(*lp).saturating_sub(began.instructions) >= *count,
            Until::ElapsedNs(ns) => elapsed_ns >= *ns,
        }
    }
}

fn points(hold: &Hold) -> Vec<Point> {
    match &hold.until {
        Until::Passed { at, .. } => vec![hold.at.clone(), at.clone()],
        Until::Instructions { .. } | Until::ElapsedNs(_) => vec![hold.at.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALL: Point = Point::SeamcallEnter { leaf: 1 << 63 | 1 };
    const INIT: Point = Point::SeamcallEnter { leaf: 35 };
    const STORE: Point = Point::Store { watch: 1 };

    fn hold(lp: u16, nth: u32, until: Until) -> Hold {
        Hold { lp, at: INSTALL, nth, from: HoldStart::Section, until, limit_ns: 1000 }
    }

    fn passed(lp: u16, at: Point, since: Since) -> Until {
        Until::Passed { lp, at, nth: 1, since }
    }

    fn now(ns: u64) -> Now<'static> {
        Now { ns, instructions: &|_| 0 }
    }

    fn began(hold: usize) -> Decision {
        Decision { stay: true, changes: vec![Change::Began(hold)] }
    }

    fn stays() -> Decision {
        Decision { stay: true, ..Decision::default() }
    }

    fn ended(hold: usize, end: HoldEnd) -> Decision {
        Decision { stay: false, changes: vec![Change::Ended(hold, end)] }
    }

    #[test]
    fn a_hold_lasts_until_another_lp_has_passed() {
        let mut holds = Holds::new(vec![vec![hold(0, 1, passed(1, INIT, Since::Update))]], false);
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(0, &[INSTALL], &now(1)), stays());
        assert_eq!(holds.at(1, &[INSTALL], &now(2)), Decision::default());
        assert_eq!(holds.at(0, &[INSTALL], &now(3)), stays());
        assert_eq!(holds.at(1, &[INIT], &now(4)), Decision::default());
        assert_eq!(holds.at(0, &[INSTALL], &now(5)), ended(0, HoldEnd::Satisfied));
        assert_eq!(holds.at(0, &[INSTALL], &now(6)), Decision::default());
    }

    #[test]
    fn a_hold_that_nobody_satisfies_expires() {
        let mut holds = Holds::new(vec![vec![hold(0, 1, passed(1, INIT, Since::Update))]], false);
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(0, &[INSTALL], &now(999)), stays());
        assert_eq!(holds.at(0, &[INSTALL], &now(1000)), ended(0, HoldEnd::Expired));
    }

    #[test]
    fn passes_can_count_from_the_hold_on() {
        let list = vec![hold(0, 1, passed(1, INIT, Since::Hold))];
        let mut holds = Holds::new(vec![list], false);
        holds.at(1, &[INIT], &now(0));
        assert_eq!(holds.at(0, &[INSTALL], &now(1)), began(0));
        assert_eq!(holds.at(0, &[INSTALL], &now(2)), stays());
        holds.at(1, &[INIT], &now(3));
        assert_eq!(holds.at(0, &[INSTALL], &now(4)), ended(0, HoldEnd::Satisfied));
    }

    #[test]
    fn an_access_is_passed_when_it_is_done() {
        let mut holds = Holds::new(vec![vec![hold(0, 1, passed(1, STORE, Since::Update))]], false);
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(1, &[STORE], &now(1)), Decision::default());
        assert_eq!(holds.at(0, &[INSTALL], &now(2)), stays());
        holds.passed(1, &STORE);
        assert_eq!(holds.at(0, &[INSTALL], &now(3)), ended(0, HoldEnd::Satisfied));
    }

    #[test]
    fn holds_at_one_place_are_served_one_after_another() {
        let list = vec![hold(0, 1, passed(1, INIT, Since::Update)), hold(0, 1, passed(2, INIT, Since::Update))];
        let mut holds = Holds::new(vec![list], false);
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), began(0));
        holds.at(1, &[INIT], &now(1));
        let next = holds.at(0, &[INSTALL], &now(2));
        let changes = vec![Change::Ended(0, HoldEnd::Satisfied), Change::Began(1)];
        assert_eq!(next, Decision { stay: true, changes });
        holds.at(2, &[INIT], &now(3));
        assert_eq!(holds.at(0, &[INSTALL], &now(4)), ended(1, HoldEnd::Satisfied));
    }

    #[test]
    fn a_hold_that_is_satisfied_at_once_still_begins() {
        let mut holds = Holds::new(vec![vec![hold(0, 1, passed(1, INIT, Since::Update))]], false);
        holds.at(1, &[INIT], &now(0));
        let changes = vec![Change::Began(0), Change::Ended(0, HoldEnd::Satisfied)];
        assert_eq!(holds.at(0, &[INSTALL], &now(1)), Decision { stay: false, changes });
    }

    #[test]
    fn instructions_of_another_lp_can_be_waited_for() {
        let mut holds = Holds::new(vec![vec![hold(0, 1, Until::Instructions { lp: 3, count: 100 })]], false);
        let at = |executed: &'static dyn Fn(u16) -> u64| Now { ns: 0, instructions: executed };
        assert_eq!(holds.at(0, &[INSTALL], &at(&|lp| u64::from(lp) * 1000)), began(0));
        assert!(holds.at(0, &[INSTALL], &at(&|lp| u64::from(lp) * 1000 + 99)).stay);
        let end = holds.at(0, &[INSTALL], &at(&|lp| u64::from(lp) * 1000 + 100));
        assert_eq!(end, ended(0, HoldEnd::Satisfied));
    }

    #[test]
    fn a_hold_at_one_of_several_points_counts_none_of_them() {
        let list = vec![hold(0, 1, Until::ElapsedNs(5)), hold(1, 1, passed(0, INIT, Since::Update))];
        let mut holds = Holds::new(vec![list], false);
        assert_eq!(holds.at(0, &[INIT, INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(1, &[INSTALL], &now(0)), began(1));
        assert_eq!(holds.at(0, &[INIT, INSTALL], &now(5)), ended(0, HoldEnd::Satisfied));
        assert_eq!(holds.at(1, &[INSTALL], &now(5)), ended(1, HoldEnd::Satisfied));
    }

    #[test]
    fn only_the_named_pass_of_the_named_lp_is_held() {
        let mut holds = Holds::new(vec![vec![hold(2, 2, Until::ElapsedNs(5))]], false);
        assert_eq!(holds.at(1, &[INSTALL], &now(0)), Decision::default());
        assert_eq!(holds.at(2, &[INSTALL], &now(0)), Decision::default());
        assert_eq!(holds.at(2, &[INIT], &now(0)), Decision::default());
        assert_eq!(holds.at(2, &[INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(2, &[INSTALL], &now(5)), ended(0, HoldEnd::Satisfied));
    }

    #[test]
    fn a_hold_can_be_in_force_from_the_upload_on() {
        let early = |nth| Hold { from: HoldStart::Upload, ..hold(0, nth, Until::ElapsedNs(5)) };
        let mut holds = Holds::new(vec![vec![early(1), early(3), hold(0, 1, Until::ElapsedNs(5))]], true);
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), Decision::default(), "no upload has begun");
        holds.upload_begins();
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), began(0));
        assert_eq!(holds.at(0, &[INSTALL], &now(5)), ended(0, HoldEnd::Satisfied));
        holds.enters_update(0);
        assert_eq!(holds.at(0, &[INSTALL], &now(6)), began(2), "its passes count from the section on");
        assert_eq!(holds.at(0, &[INSTALL], &now(11)), ended(2, HoldEnd::Satisfied));
        assert_eq!(holds.at(0, &[INSTALL], &now(12)), began(1), "the third pass since the upload");
    }

    #[test]
    fn an_upload_without_a_section_leaves_its_holds_to_the_next() {
        let early = Hold { from: HoldStart::Upload, ..hold(0, 1, Until::ElapsedNs(5)) };
        let mut holds = Holds::new(vec![vec![early.clone()], vec![], vec![early]], true);
        holds.upload_begins();
        for held in [true, false, true] {
            holds.upload_begins();
            assert_eq!(holds.at(0, &[INSTALL], &now(0)).stay, held);
            assert!(!holds.at(0, &[INSTALL], &now(5)).stay);
            holds.enters_update(0);
        }
    }

    #[test]
    fn each_update_has_its_own_list() {
        let first = vec![hold(0, 1, Until::ElapsedNs(5))];
        let mut holds = Holds::new(vec![first.clone(), vec![], first], true);
        assert!(!holds.is_empty());
        assert_eq!(holds.at(0, &[INSTALL], &now(0)), Decision::default());
        for held in [true, false, true, false] {
            for lp in 0..3 {
                holds.enters_update(lp);
            }
            assert_eq!(holds.at(0, &[INSTALL], &now(0)).stay, held);
        }
    }
}
