//! Tasks of the guest that sleep and cannot be woken, as an answer to [`crate::agent::Command::BlockedTasks`].

use serde::{Deserialize, Serialize};

/// A task of the guest in uninterruptible sleep (`D` of `proc_pid_stat(5)`): it waits for something of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedTask {
    /// Its thread id.
    pub id: u32,
    /// Its name, as `/proc/PID/stat` has it.
    pub name: String,
    /// Its kernel stack, innermost first, such as `__wait_for_common+0xa1/0x160`. A kernel without `CONFIG_STACKTRACE` has only the
    /// function in which it waits.
    pub stack: Vec<String>,
}
