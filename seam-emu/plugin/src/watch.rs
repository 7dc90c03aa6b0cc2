//! Watched words and functions of the subject kernel: which instructions to instrument, and what their accesses mean.

use rig_wire::plan::{Function, Hold, Point, Until, Watch};

/// The watches and functions of a plan, arranged for look-up by address.
#[derive(Debug, Clone)]
pub(crate) struct Watchlist {
    watches: Vec<Watch>,
    functions: Vec<Function>,
    /// Single addresses at which an LP may be held.
    places: Vec<u64>,
}

impl Watchlist {
    /// From the plan: what to watch, and the addresses that its holds name.
    pub(crate) fn new(watches: &[Watch], functions: &[Function], schedules: &[Vec<Hold>]) -> Self {
        let places = schedules.iter().flatten().flat_map(places).collect();
        Self { watches: watches.to_vec(), functions: functions.to_vec(), places }
    }

    /// Whether both watch the same things, wherever these lie.
    pub(crate) fn has_names_of(&self, other: &Self) -> bool {
        let same_watches = self.watches.iter().map(|w| &w.name).eq(other.watches.iter().map(|w| &w.name));
        same_watches && self.functions.iter().map(|f| &f.name).eq(other.functions.iter().map(|f| &f.name))
    }

    /// Can an LP be held before the instruction at this address?
    pub(crate) fn holds_at(&self, pc: u64) -> bool {
        self.places.contains(&pc) || self.instruments(pc)
    }

    /// Can an instruction at this address touch a watched word?
    pub(crate) fn instruments(&self, pc: u64) -> bool {
        self.watches.iter().any(|w| w.within.iter().any(|(start, end)| (*start..*end).contains(&pc)))
    }

    /// The watch that covers this data address.
    pub(crate) fn watch_at(&self, address: u64) -> Option<usize> {
        self.watches.iter().position(|w| (w.address..w.address + u64::from(w.size)).contains(&address))
    }

    /// The function that begins at this address.
    pub(crate) fn entered_at(&self, pc: u64) -> Option<usize> {
        self.functions.iter().position(|f| f.range.0 == pc)
    }

    /// The function that covers this address.
    pub(crate) fn function_around(&self, pc: u64) -> Option<(usize, (u64, u64))> {
        let index = self.functions.iter().position(|f| (f.range.0..f.range.1).contains(&pc))?;
        Some((index, self.functions[index].range))
    }
}

fn places(hold: &Hold) -> Vec<u64> {
    let until = match &hold.until {
        Until::Passed { at, .. } => Some(at),
        Until::Instructions { .. } | Until::ElapsedNs(_) => None,
    };
    let address = |point: &Point| match point {
        Point::Pc { address } => Some(*address),
        _ => None,
    };
    [Some(&hold.at), until].into_iter().flatten().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::plan::{HoldStart, Since};

    fn watchlist() -> Watchlist {
        let watch = Watch { name: "state".into(), address: 0x100, size: 4, within: vec![(0x1000, 0x1100)] };
        let function = Function { name: "f".into(), range: (0x1000, 0x1100) };
        let until = Until::Passed { lp: 1, at: Point::Pc { address: 0x3000 }, nth: 1, since: Since::Update };
        let hold =
            Hold { lp: 0, at: Point::Pc { address: 0x2000 }, nth: 1, from: HoldStart::Section, until, limit_ns: 1 };
        Watchlist::new(&[watch], &[function], &[vec![hold]])
    }

    #[test]
    fn can_find_what_is_watched() {
        let list = watchlist();
        assert!(list.instruments(0x1000) && list.instruments(0x10ff));
        assert_eq!((list.watch_at(0x100), list.watch_at(0x103)), (Some(0), Some(0)));
        assert_eq!(list.entered_at(0x1000), Some(0));
        assert!(list.holds_at(0x1000) && list.holds_at(0x2000) && list.holds_at(0x3000));
        assert_eq!(list.function_around(0x1050), Some((0, (0x1000, 0x1100))));
    }

    #[test]
    fn things_may_move_but_stay_the_same_things() {
        let (list, mut moved) = (watchlist(), watchlist());
        moved.watches[0].address = 0x9000;
        moved.functions[0].range = (0x7000, 0x7100);
        assert!(list.has_names_of(&moved));
        moved.watches[0].name = "another".into();
        assert!(!list.has_names_of(&moved));
        assert!(!list.has_names_of(&Watchlist::new(&list.watches, &[], &[])));
    }

    #[test]
    fn cannot_find_what_lies_beside() {
        let list = watchlist();
        assert!(!list.instruments(0xfff) && !list.instruments(0x1100));
        assert_eq!((list.watch_at(0xff), list.watch_at(0x104)), (None, None));
        assert_eq!(list.entered_at(0x1001), None);
        assert!(!list.holds_at(0x2001));
        assert_eq!(list.function_around(0x1100), None);
    }
}
