//! CR4.VMXE of the real kernel's code, which KVM does not know of.

use crate::harness::case::Case;
use crate::harness::kernel::address;
use crate::harness::walk::{Walked, walk};
use seam_kvm::Vcpu;
use std::sync::atomic::AtomicBool;

const VMXE: u64 = 1 << 13;
const PGE: u64 = 1 << 7;

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn vmxe_is_kept_from_kvm_and_the_rest_is_not() {
    let case = Case { in_vmx_root: false, ..Case::new(1) };
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = prepared.vcpus.remove(0);
    let function = address(&case.image, "native_write_cr4");
    let plain = vcpu.cr4().unwrap();
    for (value, vmxe) in [(plain | VMXE | PGE, true), (plain | VMXE, true), (plain, false)] {
        prepared.machine.call(&mut vcpu, 0, function, [value, 0]);
        let walked = walk(&prepared.emulator, 0, &mut vcpu, &AtomicBool::new(false)).unwrap().0;
        assert!(matches!(walked, Walked::Returned(_)), "{walked:?}");
        assert_eq!((vcpu.cr4().unwrap(), prepared.emulator.vmx(0)), (value & !VMXE, (false, vmxe)), "{value:#x}");
    }
}
