//! A vCPU, as the loop around `KVM_RUN` needs it.

use crate::Exit;
use kvm_bindings::kvm_regs;
use std::io;

/// An exception that an instruction raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// #UD.
    UndefinedOpcode,
    /// #GP(0).
    GeneralProtection,
}

impl Exception {
    /// Its vector.
    pub const fn vector(self) -> u8 {
        match self {
            Self::UndefinedOpcode => 6,
            Self::GeneralProtection => 13,
        }
    }

    /// The error code that it pushes, if it does.
    pub const fn error_code(self) -> Option<u32> {
        match self {
            Self::UndefinedOpcode => None,
            Self::GeneralProtection => Some(0),
        }
    }
}

/// What KVM refuses.
#[derive(Debug, thiserror::Error)]
pub enum VcpuError {
    /// A request fails.
    #[error("{what} failed: {source}")]
    Refused {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The vCPU was to finish what it left the guest for, and nothing else.
    #[error("KVM_RUN with immediate_exit set did not return EINTR, but {exit:?}")]
    NotInterrupted {
        /// What it returned with.
        exit: Exit,
    },
}

/// A vCPU, used by one thread.
pub trait Vcpu {
    /// Lets the guest run until it leaves.
    fn enter(&mut self) -> Result<Exit, VcpuError>;

    /// The registers: of the last exit, or as they were set since.
    fn registers(&self) -> kvm_regs;

    /// Sets the registers with which the guest goes on.
    fn set_registers(&mut self, registers: &kvm_regs);

    /// Its owner wants the thread back: `immediate_exit` is set.
    fn is_kicked(&self) -> bool;

    /// Makes KVM finish the instruction for which the vCPU left the guest, and take over the registers, without
    /// entering it.
    fn complete(&mut self) -> Result<(), VcpuError>;

    /// The next entry delivers this exception, with RIP as it was set.
    fn raise(&mut self, exception: Exception) -> Result<(), VcpuError>;

    /// CR4, without what is shadowed.
    fn cr4(&self) -> Result<u64, VcpuError>;

    /// Sets CR4; false: KVM takes no such value.
    fn set_cr4(&mut self, value: u64) -> Result<bool, VcpuError>;

    /// The privilege level for which SEAMCALLs are made. Sites are in the kernel's text, which only level 0 can
    /// execute.
    fn cpl(&self) -> u8 {
        0
    }
}
