//! What the threads of a TD share.

use crate::memory::Memory;
use kvm_ioctls::VmFd;
use std::sync::atomic::AtomicBool;

/// What the threads of a TD share. The VM outlives its memory's last use, and both outlive the vCPUs.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) vm: VmFd,
    pub(crate) memory: Memory,
    /// The TD is given up: its threads leave at once.
    pub(crate) give_up: AtomicBool,
}
