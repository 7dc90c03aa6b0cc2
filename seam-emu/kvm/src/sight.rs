//! What an LP last saw of the watched words.

use rig_wire::plan::Point;

/// What one LP last saw.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// By watch index.
    loaded: Vec<Option<u64>>,
    /// Values that were new to the LP and that no instruction at a site has followed yet.
    pub(crate) fresh: Vec<Point>,
    /// Addresses of loads that gave nothing new since something else happened.
    idle: Vec<u64>,
}

impl Sight {
    /// The LP loaded this value. True when it is not the one that it loaded before: a spinning LP is recorded once.
    pub(crate) fn load(&mut self, watch: usize, value: u64) -> bool {
        if self.loaded.len() <= watch {
            self.loaded.resize(watch + 1, None);
        }
        let new = self.loaded[watch].replace(value) != Some(value);
        if new {
            self.fresh.push(Point::Saw { watch, value });
            self.idle.clear();
        }
        new
    }

    /// Whether the LP spins, as the instruction at `address` is about to load this value: it did so before and nothing
    /// has happened since but loads of what it knew.
    pub(crate) fn spins(&mut self, address: u64, watch: usize, value: u64) -> bool {
        if self.loaded.get(watch) != Some(&Some(value)) {
            return false;
        }
        let again = self.idle.contains(&address);
        if !again {
            self.idle.push(address);
        }
        again
    }

    /// The LP did something else.
    pub(crate) fn acts(&mut self) {
        self.idle.clear();
    }

    /// The LP enters a watched function: whatever it loads next is new to it.
    pub(crate) fn forget(&mut self) {
        self.loaded.clear();
        self.fresh.clear();
        self.idle.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spinning_lp_sees_a_value_once() {
        let mut sight = Sight::default();
        assert!(sight.load(0, 1) && !sight.load(0, 1));
        assert!(sight.load(1, 1) && sight.load(0, 2) && sight.load(0, 1));
        sight.forget();
        assert!(sight.load(0, 1));
        assert_eq!(sight.fresh, [Point::Saw { watch: 0, value: 1 }]);
    }

    #[test]
    fn an_lp_spins_when_the_same_load_gives_nothing_new() {
        let mut sight = Sight::default();
        assert!(!sight.spins(0x10, 0, 1), "the value is new");
        sight.load(0, 1);
        assert!(!sight.spins(0x10, 0, 1), "the first time");
        assert!(!sight.spins(0x20, 0, 1), "another instruction");
        assert!(sight.spins(0x10, 0, 1) && sight.spins(0x20, 0, 1));
        sight.acts();
        assert!(!sight.spins(0x10, 0, 1), "something else happened");
        sight.load(1, 5);
        assert!(!sight.spins(0x10, 0, 1), "something new was seen");
    }
}
