//! What a child asks of the host's kernel before it becomes QEMU.

#![allow(unsafe_code, reason = "`pre_exec` is the only way to have a child ask for something")]

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

/// The child's memory is mapped in small pages only. QEMU asks for huge ones, and a machine that is restored touches few bytes of each:
/// at 64 vCPUs zeroing them took 0.4 s, more than reading the state.
pub(super) fn map_small_pages(command: &mut Command) {
    // SAFETY: as above; the one system call is prctl.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_thp_disable(true)?));
    }
}
