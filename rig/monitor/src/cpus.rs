//! CPUs of the host, and where threads run.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that this process may use now.
pub(crate) fn usable() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// Binds a thread to one CPU; false if that CPU is not there (any more).
pub(crate) fn bind(thread: Pid, cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu).and_then(|()| sched_setaffinity(thread, &set)).is_ok()
}
