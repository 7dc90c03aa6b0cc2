//! VMX operation in the real kernel's code, which KVM does not know of.

use crate::harness::case::{Case, Prepared};
use crate::harness::kernel::{address, extent};
use crate::harness::walk::{Walked, walk};
use iced_x86::{Code, Decoder, DecoderOptions};
use kvm_ioctls::VcpuFd;
use seam_kvm::{KernelImage, KvmVcpu, Vcpu};
use std::sync::atomic::AtomicBool;

const VMXE: u64 = 1 << 13;
const PGE: u64 = 1 << 7;
/// A bit of CR4 that no CPU has.
const RESERVED: u64 = 1 << 63;

fn call(prepared: &Prepared, case: &Case, vcpu: &mut KvmVcpu<VcpuFd>, function: &str, argument: u64) -> Walked {
    prepared.machine.call(vcpu, 0, address(&case.image, function), [argument, 0]);
    walk(&prepared.emulator, 0, vcpu, &AtomicBool::new(false)).unwrap().0
}

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn vmxe_is_kept_from_kvm_and_the_rest_is_not() {
    let case = Case { in_vmx_root: false, ..Case::new(1) };
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = prepared.vcpus.remove(0);
    let plain = vcpu.cr4().unwrap();
    for (value, vmxe) in [(plain | VMXE | PGE, true), (plain | VMXE, true), (plain, false)] {
        let walked = call(&prepared, &case, &mut vcpu, "native_write_cr4", value);
        assert!(matches!(walked, Walked::Returned(_)), "{walked:?}");
        assert_eq!((vcpu.cr4().unwrap(), prepared.emulator.vmx(0)), (value & !VMXE, (false, vmxe)), "{value:#x}");
    }
    let walked = call(&prepared, &case, &mut vcpu, "native_write_cr4", plain | VMXE | RESERVED);
    assert!(matches!(walked, Walked::Raised { vector: 13, error_code: Some(0), .. }), "{walked:?}");
    assert_eq!((vcpu.cr4().unwrap(), prepared.emulator.vmx(0)), (plain, (false, false)));
}

/// CLI and STI of a function become NOP: a KVM that executes level 3 itself may know no IOPL, and interrupts are off
/// all the time.
fn without_interrupt_flag(image: &mut KernelImage, function: &str) {
    let (start, size) = extent(image, function);
    let code = image.bytes(start, size).expect("the function has code").to_vec();
    for instruction in &mut Decoder::with_ip(64, &code, start, DecoderOptions::NONE) {
        if matches!(instruction.code(), Code::Cli | Code::Sti) {
            assert!(image.patch(instruction.ip(), &[0x90]));
        }
    }
}

/// The address of the word from which a CPU reads its copy of CR4, which a boot fills in (`cr4_init_shadow()`).
fn cr4_copy(image: &KernelImage) -> u64 {
    let (start, size) = extent(image, "cr4_read_shadow");
    let code = image.bytes(start, size).expect("the function has code");
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let reads = |instruction: &iced_x86::Instruction| instruction.is_ip_rel_memory_operand();
    decoder.iter().find(reads).expect("it reads the copy").ip_rel_memory_address()
}

/// `x86_vmx_enable_virtualization_cpu()` sets CR4.VMXE and executes VMXON; its counterpart does VMXOFF and clears the
/// bit.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn the_kernel_enters_and_leaves_vmx_operation() {
    let [enter, leave] = ["x86_vmx_enable_virtualization_cpu", "x86_vmx_disable_virtualization_cpu"];
    let mut case = Case { in_vmx_root: false, ..Case::new(1) };
    for function in [enter, leave, "intel_pt_handle_vmx"] {
        without_interrupt_flag(&mut case.image, function);
    }
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = prepared.vcpus.remove(0);
    prepared.machine.put_own(0, cr4_copy(&case.image), 8, vcpu.cr4().unwrap());
    let undefined = call(&prepared, &case, &mut vcpu, leave, 0);
    assert!(matches!(undefined, Walked::Raised { vector: 6, .. }), "VMXOFF comes first: {undefined:?}");
    for _ in 0..2 {
        assert_eq!(call(&prepared, &case, &mut vcpu, enter, 0), Walked::Returned(0));
        assert_eq!((prepared.emulator.vmx(0), vcpu.cr4().unwrap() & VMXE), ((true, true), 0));
        assert_eq!(call(&prepared, &case, &mut vcpu, leave, 0), Walked::Returned(0));
        assert_eq!(prepared.emulator.vmx(0), (false, false));
    }
}
