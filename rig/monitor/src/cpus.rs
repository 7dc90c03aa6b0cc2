//! CPUs of the host, and where threads run.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that this process may use now.
pub(crate) fn usable() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// Does something on the first CPU that this process may use, which is never switched off, and lets the thread go again.
pub(crate) fn on_first<T>(work: impl FnOnce() -> T) -> T {
    let me = Pid::from_raw(0);
    let before = sched_getaffinity(me);
    if let Some(first) = usable().first() {
        bind(me, *first);
    }
    let done = work();
    if let Ok(before) = before {
        // Fails only when none of those CPUs is left; then the kernel has chosen already.
        let _ = sched_setaffinity(me, &before);
    }
    done
}

/// Binds a thread to one CPU; false if that CPU is not there (any more).
pub(crate) fn bind(thread: Pid, cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu).and_then(|()| sched_setaffinity(thread, &set)).is_ok()
}
