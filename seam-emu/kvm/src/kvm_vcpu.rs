//! A vCPU of KVM, by its file descriptor and its shared memory.

#![allow(unsafe_code, reason = "ioctls that no library offers for another's file descriptor")]

use crate::{Exception, Exit, RunArea, Vcpu, VcpuError};
use kvm_bindings::{kvm_regs, kvm_sregs, kvm_vcpu_events};
use std::io;
use std::os::fd::AsRawFd;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref};
use vmm_sys_util::{ioctl_io_nr, ioctl_ior_nr, ioctl_iow_nr};

// Source: include/uapi/linux/kvm.h.
const KVMIO: u32 = 0xae;
ioctl_io_nr!(KVM_RUN, KVMIO, 0x80);
ioctl_ior_nr!(KVM_GET_SREGS, KVMIO, 0x83, kvm_sregs);
ioctl_iow_nr!(KVM_SET_SREGS, KVMIO, 0x84, kvm_sregs);
ioctl_ior_nr!(KVM_GET_VCPU_EVENTS, KVMIO, 0x9f, kvm_vcpu_events);
ioctl_iow_nr!(KVM_SET_VCPU_EVENTS, KVMIO, 0xa0, kvm_vcpu_events);

/// A vCPU of KVM.
#[derive(Debug)]
pub struct KvmVcpu<F> {
    fd: F,
    area: RunArea,
    registers: kvm_regs,
    is_set: bool,
}

impl<F: AsRawFd> KvmVcpu<F> {
    /// This vCPU, with its area.
    pub fn new(fd: F, area: RunArea) -> Self {
        Self { fd, area, registers: kvm_regs::default(), is_set: false }
    }

    /// Its file descriptor.
    pub fn fd(&self) -> &F {
        &self.fd
    }

    /// The memory that it shares with KVM.
    pub fn area(&self) -> &RunArea {
        &self.area
    }

    fn run(&mut self) -> Result<Exit, VcpuError> {
        if std::mem::take(&mut self.is_set) {
            self.area.set_registers(&self.registers);
        }
        self.area.ask_for_registers();
        // SAFETY: the request takes no argument. What it writes is the area, which is mapped, and the guest's memory.
        let result = unsafe { ioctl(&self.fd, KVM_RUN()) };
        let error = io::Error::last_os_error();
        self.registers = self.area.registers();
        match result {
            0.. => Ok(self.area.exit()),
            _ if error.kind() == io::ErrorKind::Interrupted => Ok(Exit::Interrupted),
            _ => Err(VcpuError::Refused { what: "KVM_RUN", source: error }),
        }
    }

    fn sregs(&self) -> Result<kvm_sregs, VcpuError> {
        let mut sregs = kvm_sregs::default();
        // SAFETY: the request writes one structure of this type.
        let result = unsafe { ioctl_with_mut_ref(&self.fd, KVM_GET_SREGS(), &mut sregs) };
        checked("KVM_GET_SREGS", result).map(|()| sregs)
    }
}

impl<F: AsRawFd> Vcpu for KvmVcpu<F> {
    fn enter(&mut self) -> Result<Exit, VcpuError> {
        self.run()
    }

    fn registers(&self) -> kvm_regs {
        self.registers
    }

    fn set_registers(&mut self, registers: &kvm_regs) {
        (self.registers, self.is_set) = (*registers, true);
    }

    fn is_kicked(&self) -> bool {
        self.area.is_kicked()
    }

    fn complete(&mut self) -> Result<(), VcpuError> {
        let closed = self.area.close();
        let exit = self.run();
        self.area.reopen(closed);
        match exit? {
            Exit::Interrupted => Ok(()),
            exit => Err(VcpuError::NotInterrupted { exit }),
        }
    }

    fn raise(&mut self, exception: Exception) -> Result<(), VcpuError> {
        let mut events = kvm_vcpu_events::default();
        // SAFETY: the request writes one structure of this type.
        let result = unsafe { ioctl_with_mut_ref(&self.fd, KVM_GET_VCPU_EVENTS(), &mut events) };
        checked("KVM_GET_VCPU_EVENTS", result)?;
        events.exception.injected = 1;
        events.exception.pending = 0;
        events.exception.nr = exception.vector();
        events.exception.has_error_code = exception.error_code().is_some().into();
        events.exception.error_code = exception.error_code().unwrap_or(0);
        // SAFETY: the request reads one structure of this type.
        let result = unsafe { ioctl_with_ref(&self.fd, KVM_SET_VCPU_EVENTS(), &events) };
        checked("KVM_SET_VCPU_EVENTS", result)
    }

    fn cr4(&self) -> Result<u64, VcpuError> {
        self.sregs().map(|sregs| sregs.cr4)
    }

    fn set_cr4(&mut self, value: u64) -> Result<bool, VcpuError> {
        let sregs = kvm_sregs { cr4: value, ..self.sregs()? };
        // SAFETY: the request reads one structure of this type.
        let result = unsafe { ioctl_with_ref(&self.fd, KVM_SET_SREGS(), &sregs) };
        match checked("KVM_SET_SREGS", result) {
            Ok(()) => Ok(true),
            Err(VcpuError::Refused { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn checked(what: &'static str, result: i32) -> Result<(), VcpuError> {
    if result < 0 { Err(VcpuError::Refused { what, source: io::Error::last_os_error() }) } else { Ok(()) }
}
