//! The engine of holds: which LP must stay where it is, and until when. Pure; time and places are handed in.

use rig_wire::event::HoldEnd;
use rig_wire::plan::{Hold, Point, Until};
use std::collections::HashMap;

/// May the LP go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Yes; nothing held it.
    Go,
    /// No: execute the instruction again. `began` names the hold when it begins now.
    Stay { began: Option<usize> },
    /// Yes; this hold ended.
    Released { hold: usize, end: HoldEnd },
}

/// Holds of all updates, and how far each LP has come in the present one.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    schedules: Vec<Vec<Hold>>,
    current: Option<usize>,
    passes: HashMap<(u16, Point), u32>,
    began_ns: HashMap<usize, u64>,
    ended: Vec<bool>,
    /// Points that somebody waits at or waits for: only these are counted.
    interesting: Vec<Point>,
}

impl Holds {
    /// Holds for the updates to come; `waits_for_update` is false when the first list is in force at once.
    pub(crate) fn new(schedules: Vec<Vec<Hold>>, waits_for_update: bool) -> Self {
        let mut holds = Self { schedules, ..Self::default() };
        if !waits_for_update {
            holds.enter(0);
        }
        holds
    }

    /// Nothing is held in any update.
    pub(crate) fn is_empty(&self) -> bool {
        self.schedules.iter().all(Vec::is_empty)
    }

    /// The next update begins.
    pub(crate) fn begin_update(&mut self) {
        self.enter(self.current.map_or(0, |i| i + 1));
    }

    fn enter(&mut self, index: usize) {
        self.current = Some(index);
        self.passes.clear();
        self.began_ns.clear();
        self.ended = vec![false; self.holds().len()];
        self.interesting = self.holds().iter().flat_map(points).collect();
    }

    fn holds(&self) -> &[Hold] {
        self.current.and_then(|i| self.schedules.get(i)).map_or(&[], Vec::as_slice)
    }

    /// Does any hold of the present update name this point?
    fn cares(&self, point: &Point) -> bool {
        self.interesting.contains(point)
    }

    /// The LP stands at one instruction, which is all these points. Unless it must stay, the passes count as made.
    pub(crate) fn at(&mut self, lp: u16, points: &[Point], now_ns: u64) -> Decision {
        let mut decision = Decision::Go;
        for point in points.iter().filter(|p| self.cares(p)).cloned().collect::<Vec<_>>() {
            let pass = self.passed(lp, &point) + 1;
            let held = self.holds().iter().position(|h| h.lp == lp && h.at == point && h.nth == pass);
            if let Some(hold) = held.filter(|hold| !self.ended[*hold]) {
                decision = self.decide(hold, now_ns);
            }
            if matches!(decision, Decision::Stay { .. }) {
                return decision;
            }
        }
        for point in points {
            if self.cares(point) {
                *self.passes.entry((lp, point.clone())).or_insert(0) += 1;
            }
        }
        decision
    }

    fn passed(&self, lp: u16, point: &Point) -> u32 {
        self.passes.get(&(lp, point.clone())).copied().unwrap_or(0)
    }

    fn decide(&mut self, hold: usize, now_ns: u64) -> Decision {
        let began_now = !self.began_ns.contains_key(&hold);
        let began_ns = *self.began_ns.entry(hold).or_insert(now_ns);
        let elapsed_ns = now_ns.saturating_sub(began_ns);
        let h = &self.holds()[hold];
        let end = if self.satisfied(&h.until, elapsed_ns) {
            HoldEnd::Satisfied
        } else if elapsed_ns >= h.limit_ns {
            HoldEnd::Expired
        } else {
            return Decision::Stay { began: began_now.then_some(hold) };
        };
        self.ended[hold] = true;
        Decision::Released { hold, end }
    }

    fn satisfied(&self, until: &Until, elapsed_ns: u64) -> bool {
        match until {
            Until::Passed { lp, at, nth } => self.passed(*lp, at) >= *nth,
            Until::ElapsedNs(ns) => elapsed_ns >= *ns,
        }
    }
}

fn points(hold: &Hold) -> Vec<Point> {
    match &hold.until {
        Until::Passed { at, .. } => vec![hold.at.clone(), at.clone()],
        Until::ElapsedNs(_) => vec![hold.at.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALL: Point = Point::SeamcallEnter { leaf: 1 << 63 | 1 };
    const INIT: Point = Point::SeamcallEnter { leaf: 35 };

    fn hold(lp: u16, nth: u32, until: Until) -> Hold {
        Hold { lp, at: INSTALL, nth, until, limit_ns: 1000 }
    }

    #[test]
    fn a_hold_lasts_until_another_lp_has_passed() {
        let until = Until::Passed { lp: 1, at: INIT, nth: 1 };
        let mut holds = Holds::new(vec![vec![hold(0, 1, until)]], false);
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Stay { began: Some(0) });
        assert_eq!(holds.at(0, &[INSTALL], 1), Decision::Stay { began: None });
        assert_eq!(holds.at(1, &[INSTALL], 2), Decision::Go);
        assert_eq!(holds.at(0, &[INSTALL], 3), Decision::Stay { began: None });
        assert_eq!(holds.at(1, &[INIT], 4), Decision::Go);
        assert_eq!(holds.at(0, &[INSTALL], 5), Decision::Released { hold: 0, end: HoldEnd::Satisfied });
        assert_eq!(holds.at(0, &[INSTALL], 6), Decision::Go);
    }

    #[test]
    fn a_hold_that_cannot_be_satisfied_expires() {
        let until = Until::Passed { lp: 1, at: INIT, nth: 1 };
        let mut holds = Holds::new(vec![vec![hold(0, 1, until)]], false);
        assert_eq!(holds.at(0, &[INSTALL], 10), Decision::Stay { began: Some(0) });
        assert_eq!(holds.at(0, &[INSTALL], 1009), Decision::Stay { began: None });
        assert_eq!(holds.at(0, &[INSTALL], 1010), Decision::Released { hold: 0, end: HoldEnd::Expired });
    }

    #[test]
    fn a_hold_at_one_of_several_points_counts_none_of_them() {
        let until = Until::Passed { lp: 0, at: INIT, nth: 1 };
        let mut holds = Holds::new(vec![vec![hold(0, 1, Until::ElapsedNs(5)), hold(1, 1, until)]], false);
        assert_eq!(holds.at(0, &[INIT, INSTALL], 0), Decision::Stay { began: Some(0) });
        assert_eq!(holds.at(1, &[INSTALL], 0), Decision::Stay { began: Some(1) });
        assert_eq!(holds.at(0, &[INIT, INSTALL], 5), Decision::Released { hold: 0, end: HoldEnd::Satisfied });
        assert_eq!(holds.at(1, &[INSTALL], 5), Decision::Released { hold: 1, end: HoldEnd::Satisfied });
    }

    #[test]
    fn only_the_named_pass_of_the_named_lp_is_held() {
        let mut holds = Holds::new(vec![vec![hold(2, 2, Until::ElapsedNs(5))]], false);
        assert_eq!(holds.at(1, &[INSTALL], 0), Decision::Go);
        assert_eq!(holds.at(2, &[INSTALL], 0), Decision::Go);
        assert_eq!(holds.at(2, &[INIT], 0), Decision::Go);
        assert_eq!(holds.at(2, &[INSTALL], 0), Decision::Stay { began: Some(0) });
        assert_eq!(holds.at(2, &[INSTALL], 5), Decision::Released { hold: 0, end: HoldEnd::Satisfied });
    }

    #[test]
    fn each_update_has_its_own_list() {
        let first = vec![hold(0, 1, Until::ElapsedNs(5))];
        let mut holds = Holds::new(vec![first.clone(), vec![], first], true);
        assert!(!holds.is_empty());
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Go);
        holds.begin_update();
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Stay { began: Some(0) });
        holds.begin_update();
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Go);
        holds.begin_update();
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Stay { began: Some(0) });
        holds.begin_update();
        assert_eq!(holds.at(0, &[INSTALL], 0), Decision::Go);
    }
}
