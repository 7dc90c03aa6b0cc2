//! What each vCPU believes of VMX.

use std::sync::atomic::{AtomicU8, Ordering};

/// CR4.VMXE is set.
pub(crate) const VMXE: u8 = 1;
/// The vCPU is in VMX root operation.
pub(crate) const VMX_ROOT: u8 = 2;

/// Per-vCPU VMX state: a byte of [`VMXE`] and [`VMX_ROOT`].
#[derive(Debug)]
pub(crate) struct Facade {
    vcpus: Vec<AtomicU8>,
}

impl Facade {
    /// One byte for each vCPU.
    pub(crate) fn save(&self) -> Vec<u8> {
        self.vcpus.iter().map(|v| v.load(Ordering::Relaxed)).collect()
    }

    /// The inverse of [`Facade::save`]; zeros are the power-on state.
    pub(crate) fn restore(bytes: &[u8]) -> Self {
        Self { vcpus: bytes.iter().map(|b| AtomicU8::new(*b)).collect() }
    }

    /// Is this vCPU in VMX root operation?
    pub(crate) fn in_vmx_root(&self, vcpu: usize) -> bool {
        self.has(vcpu, VMX_ROOT)
    }

    /// Is this bit of the vCPU set?
    pub(crate) fn has(&self, vcpu: usize, bit: u8) -> bool {
        self.vcpus[vcpu].load(Ordering::Relaxed) & bit != 0
    }

    /// Sets or clears a bit of the vCPU.
    pub(crate) fn set(&self, vcpu: usize, bit: u8, on: bool) {
        if on {
            self.vcpus[vcpu].fetch_or(bit, Ordering::Relaxed);
        } else {
            self.vcpus[vcpu].fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_kept_for_each_vcpu() {
        let facade = Facade::restore(&[0, 0]);
        facade.set(1, VMX_ROOT, true);
        assert!(!facade.in_vmx_root(0) && facade.in_vmx_root(1));
        let again = Facade::restore(&facade.save());
        assert!(!again.in_vmx_root(0) && again.in_vmx_root(1));
        again.set(1, VMX_ROOT, false);
        assert!(!again.in_vmx_root(1));
    }
}
