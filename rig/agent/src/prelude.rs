//! What loads do in the last moment before an update begins.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Action = Box<dyn FnMut() + Send>;

static NEXT: AtomicU64 = AtomicU64::new(0);
static ACTIONS: Mutex<Vec<(u64, Action)>> = Mutex::new(Vec::new());

/// An action that is done before each update for as long as this value exists.
pub(crate) struct Prelude(u64);

impl Prelude {
    /// Has it done from now on, when the kernel has an update's image and has no order to begin yet.
    pub(crate) fn before_each_update(action: impl FnMut() + Send + 'static) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        actions().push((number, Box::new(action)));
        Self(number)
    }
}

impl Drop for Prelude {
    fn drop(&mut self) {
        actions().retain(|(number, _)| *number != self.0);
    }
}

/// Does all of them.
pub(crate) fn play() {
    actions().iter_mut().for_each(|(_, action)| action());
}

fn actions() -> MutexGuard<'static, Vec<(u64, Action)>> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_action_is_done_each_time_until_it_is_dropped() {
        let done = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&done);
        let prelude = Prelude::before_each_update(move || _ = count.fetch_add(1, Ordering::Relaxed));
        play();
        play();
        // Other tests may play meanwhile.
        let rounds = done.load(Ordering::Relaxed);
        assert!(rounds >= 2);
        drop(prelude);
        play();
        assert_eq!(Arc::strong_count(&done), 1, "the action is gone");
    }
}
