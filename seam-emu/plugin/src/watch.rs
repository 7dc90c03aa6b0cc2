//! Watched words and functions of the subject kernel: which instructions to instrument, and what their accesses mean.

use rig_wire::plan::{Function, Watch};

/// The watches and functions of a plan, arranged for look-up by address.
#[derive(Debug, Clone)]
pub(crate) struct Watchlist {
    watches: Vec<Watch>,
    functions: Vec<Function>,
}

impl Watchlist {
    /// From the plan.
    pub(crate) fn new(watches: &[Watch], functions: &[Function]) -> Self {
        Self { watches: watches.to_vec(), functions: functions.to_vec() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn watchlist() -> Watchlist {
        let watch = Watch { name: "state".into(), address: 0x100, size: 4, within: vec![(0x1000, 0x1100)] };
        let function = Function { name: "f".into(), range: (0x1000, 0x1100) };
        Watchlist::new(&[watch], &[function])
    }

    #[test]
    fn can_find_what_is_watched() {
        let list = watchlist();
        assert!(list.instruments(0x1000) && list.instruments(0x10ff));
        assert_eq!((list.watch_at(0x100), list.watch_at(0x103)), (Some(0), Some(0)));
        assert_eq!(list.entered_at(0x1000), Some(0));
        assert_eq!(list.function_around(0x1050), Some((0, (0x1000, 0x1100))));
    }

    #[test]
    fn cannot_find_what_lies_beside() {
        let list = watchlist();
        assert!(!list.instruments(0xfff) && !list.instruments(0x1100));
        assert_eq!((list.watch_at(0xff), list.watch_at(0x104)), (None, None));
        assert_eq!(list.entered_at(0x1001), None);
        assert_eq!(list.function_around(0x1100), None);
    }
}
