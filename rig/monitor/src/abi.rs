//! KVM's interface for trust domains: structures and the calls that take them.
//!
//! Source: Linux 7.3 `arch/x86/include/uapi/asm/kvm.h`, `Documentation/virt/kvm/x86/intel-tdx.rst`; kvm-bindings does not
//! have them yet.

#![allow(unsafe_code, reason = "an ioctl that takes a pointer inside its argument")]

use crate::MonitorError;
use kvm_bindings::kvm_cpuid_entry2;
use kvm_ioctls::{VcpuFd, VmFd};
use std::os::fd::AsRawFd;
use vmm_sys_util::errno;
use vmm_sys_util::ioctl::ioctl_with_mut_ref;

/// Type of a VM that is a trust domain.
pub(crate) const TDX_VM: u64 = 5;
/// `KVM_HC_MAP_GPA_RANGE`: the hypercall by which KVM reports that a TD called `MapGPA`.
pub(crate) const MAP_GPA_RANGE: u64 = 12;
/// `KVM_MAP_GPA_RANGE_ENCRYPTED`: to private.
pub(crate) const TO_PRIVATE: u64 = 1 << 4;
/// Flag of a memory slot that has a `guest_memfd`.
pub(crate) const MEM_GUEST_MEMFD: u32 = 1 << 2;
/// `KVM_MEMORY_ATTRIBUTE_PRIVATE`, and the flag of the same value of `KVM_EXIT_MEMORY_FAULT`.
pub(crate) const ATTRIBUTE_PRIVATE: u64 = 1 << 3;
/// Most CPUID entries of one call.
pub(crate) const MAX_CPUID: usize = 256;

vmm_sys_util::ioctl_iowr_nr!(KVM_MEMORY_ENCRYPT_OP, 0xae, 0xba, u64);

/// Number of a `KVM_TDX_*` command.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Command {
    Capabilities = 0,
    InitVm = 1,
    InitVcpu = 2,
    InitMemRegion = 3,
    FinalizeVm = 4,
}

impl Command {
    /// Its name, for messages.
    fn name(self) -> &'static str {
        match self {
            Self::Capabilities => "KVM_TDX_CAPABILITIES",
            Self::InitVm => "KVM_TDX_INIT_VM",
            Self::InitVcpu => "KVM_TDX_INIT_VCPU",
            Self::InitMemRegion => "KVM_TDX_INIT_MEM_REGION",
            Self::FinalizeVm => "KVM_TDX_FINALIZE_VM",
        }
    }
}

/// `struct kvm_tdx_cmd`.
#[repr(C)]
struct Call {
    id: u32,
    flags: u32,
    data: u64,
    hw_error: u64,
}

/// `struct kvm_cpuid2` with room for [`MAX_CPUID`] entries.
#[repr(C)]
pub(crate) struct Cpuid {
    pub(crate) nent: u32,
    pub(crate) padding: u32,
    pub(crate) entries: [kvm_cpuid_entry2; MAX_CPUID],
}

impl Cpuid {
    /// These entries.
    pub(crate) fn new(list: &[kvm_cpuid_entry2]) -> Self {
        let mut entries = [kvm_cpuid_entry2::default(); MAX_CPUID];
        entries[..list.len()].copy_from_slice(list);
        Self { nent: list.len() as u32, padding: 0, entries }
    }

    /// Those in use.
    pub(crate) fn used(&self) -> &[kvm_cpuid_entry2] {
        &self.entries[..self.nent as usize]
    }
}

/// `struct kvm_tdx_capabilities`.
#[repr(C)]
pub(crate) struct Capabilities {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    tdvmcall_info: [u64; 4],
    reserved: [u64; 250],
    /// Configurable bits.
    pub(crate) cpuid: Cpuid,
}

impl Capabilities {
    /// Room for an answer.
    pub(crate) fn empty() -> Box<Self> {
        let entries = [kvm_cpuid_entry2::default(); MAX_CPUID];
        let cpuid = Cpuid { nent: MAX_CPUID as u32, padding: 0, entries };
        Box::new(Self { attributes: 0, xfam: 0, tdvmcall_info: [0; 4], reserved: [0; 250], cpuid })
    }
}

/// `struct kvm_tdx_init_vm`.
#[repr(C)]
pub(crate) struct InitVm {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    /// MRCONFIGID, MROWNER, MROWNERCONFIG.
    ids: [u64; 18],
    reserved: [u64; 12],
    pub(crate) cpuid: Cpuid,
}

impl InitVm {
    /// With zeros for the three identities.
    pub(crate) fn new(attributes: u64, xfam: u64, cpuid: Cpuid) -> Box<Self> {
        Box::new(Self { attributes, xfam, ids: [0; 18], reserved: [0; 12], cpuid })
    }
}

/// `struct kvm_tdx_init_mem_region`.
#[repr(C)]
pub(crate) struct InitMemRegion {
    /// Address of the contents in this process.
    pub(crate) source: u64,
    pub(crate) gpa: u64,
    pub(crate) pages: u64,
}

/// `KVM_TDX_MEASURE_MEMORY_REGION`.
pub(crate) const MEASURE: u32 = 1;

/// A command of the VM. `data` is what the command is documented to take: its address, or 0.
pub(crate) fn vm_command<T>(vm: &VmFd, command: Command, data: Option<&mut T>) -> Result<(), MonitorError> {
    command_on(vm, command, 0, data.map_or(0, |data| std::ptr::from_mut(data) as u64))
}

/// A command of a vCPU that takes a structure.
pub(crate) fn vcpu_command<T>(vcpu: &VcpuFd, command: Command, flags: u32, data: &mut T) -> Result<(), MonitorError> {
    command_on(vcpu, command, flags, std::ptr::from_mut(data) as u64)
}

/// `KVM_TDX_INIT_VCPU`, whose argument is the initial RCX itself.
pub(crate) fn init_vcpu(vcpu: &VcpuFd, rcx: u64) -> Result<(), MonitorError> {
    command_on(vcpu, Command::InitVcpu, 0, rcx)
}

fn command_on(fd: &impl AsRawFd, command: Command, flags: u32, data: u64) -> Result<(), MonitorError> {
    let mut call = Call { id: command as u32, flags, data, hw_error: 0 };
    // SAFETY: the kernel reads and writes `call` and, where `data` is an address, the structure of this command, which the
    // callers above borrow mutably for the length of the call.
    let result = unsafe { ioctl_with_mut_ref(fd, KVM_MEMORY_ENCRYPT_OP(), &mut call) };
    if result == 0 {
        return Ok(());
    }
    let errno = errno::Error::last().errno();
    Err(MonitorError::Refused { doing: command.name(), errno, status: call.hw_error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn structures_have_the_kernels_layout() {
        assert_eq!(size_of::<Call>(), 24);
        assert_eq!(offset_of!(Capabilities, cpuid), 2048);
        assert_eq!(offset_of!(InitVm, cpuid), 256);
        assert_eq!(offset_of!(Cpuid, entries), 8);
        assert_eq!(size_of::<InitMemRegion>(), 24);
        assert_eq!(KVM_MEMORY_ENCRYPT_OP(), 0xc008_aeba);
    }
}
