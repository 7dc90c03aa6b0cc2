//! What an LP last saw of the watched words.

use rig_wire::plan::Point;
use std::collections::HashMap;

/// What one LP last saw.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// By watch index.
    pub(crate) loaded: HashMap<usize, u64>,
    /// Values that were new to the LP and that no instrumented instruction has followed yet.
    pub(crate) fresh: Vec<Point>,
    /// The LP is in the function that all CPUs run in an update.
    pub(crate) is_in_update: bool,
}

impl Sight {
    /// The LP loaded this value. True when it is not the one that it loaded before: a spinning LP is recorded once.
    pub(crate) fn load(&mut self, watch: usize, value: u64) -> bool {
        let new = self.loaded.insert(watch, value) != Some(value);
        if new {
            self.fresh.push(Point::Saw { watch, value });
        }
        new
    }

    /// The LP enters a watched function: whatever it loads next is new to it.
    pub(crate) fn forget(&mut self) {
        self.loaded.clear();
        self.fresh.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spinning_lp_sees_a_value_once() {
        let mut sight = Sight::default();
        assert!(sight.load(0, 1));
        assert!(!sight.load(0, 1));
        assert!(sight.load(1, 1));
        assert!(sight.load(0, 2));
        assert!(sight.load(0, 1));
        sight.forget();
        assert!(sight.load(0, 1));
        assert_eq!(sight.fresh, [Point::Saw { watch: 0, value: 1 }]);
    }
}
