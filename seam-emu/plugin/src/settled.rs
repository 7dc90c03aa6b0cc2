//! Lets a vCPU of a deterministic machine halt only while QEMU's main loop sleeps.
//!
//! When all vCPUs are halted the main loop moves the virtual clock to the next timer (`icount_start_warp_timer()` of QEMU 11.1's
//! `accel/tcg/icount-common.c`). It looks at each of its turns, and a guest that sets a timer before it halts has just woken it. If
//! it looks between a vCPU's halt and the moment at which the instructions of that vCPU's turn are added to the clock, it reckons from
//! a clock that is behind, and the timer comes later by as much: 4 of 100 repetitions differed so, by 30 us. A main loop that
//! sleeps is woken again only by that thread itself, which then has added them.

use std::io;
use std::time::{Duration, Instant};

/// `ppoll` (`arch/x86/entry/syscalls/syscall_64.tbl`), in which the main loop sleeps.
const PPOLL: &str = "271";
/// Host time that the main loop may take for one turn; QEMU is stuck when it takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Checks that what the main loop does can be seen.
pub(crate) fn check() -> Result<(), String> {
    let why =
        |e| format!("the host's kernel does not tell what QEMU's main loop does, which a deterministic run needs: {e}");
    main_loop().map(drop).map_err(why)
}

/// Waits until the main loop sleeps.
pub(crate) fn wait() {
    let started = Instant::now();
    while !sleeps(&main_loop().unwrap_or_default()) {
        assert!(started.elapsed() < LIMIT, "QEMU's main loop does not come to rest");
        std::thread::yield_now();
    }
}

/// The system call of the process's first thread, which runs the main loop (`proc_pid_syscall(5)`).
fn main_loop() -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/task/{}/syscall", std::process::id()))
}

/// Whether a thread of which this is told waits in the call that the main loop waits in.
fn sleeps(told: &str) -> bool {
    told.split_ascii_whitespace().next() == Some(PPOLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_polls_is_told_from_others() {
        assert!(sleeps("271 0x7f 0x3 0x7ffd 0x0 0x8 0x0 0x7ffd0 0x7f4e\n"));
        for other in ["running\n", "202 0x1 0x80 0x2\n", "-1 0x7ffd 0x7f4e\n", ""] {
            assert!(!sleeps(other), "{other}");
        }
    }

    #[test]
    fn the_host_tells() {
        assert_eq!(check(), Ok(()));
    }
}
