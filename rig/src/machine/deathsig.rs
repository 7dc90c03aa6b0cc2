//! Ties a child's life to the thread that starts it.

#![allow(unsafe_code, reason = "`pre_exec` is the only way to make a child ask for its parent's death signal")]

use nix::sys::{prctl, signal::Signal};
use nix::unistd::{Pid, getpid, getppid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child is killed when the *thread* that spawns it ends, however it ends; so spawn from a thread that waits for the
/// child. Covers `kill -9` of the rig, which nothing in the rig could react to.
pub(super) fn die_with_thread(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure runs between fork and exec of a process with several threads and makes only the system calls
    // prctl and getppid, which are async-signal-safe; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || arm(parent));
    }
}

fn arm(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the signal was armed.
    if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
}
