//! SEAMCALLs that fail: by a status, by CF, by #UD and by #GP.

use crate::harness::case::{Case, Prepared};
use crate::harness::kernel::{address, silence};
use crate::harness::walk::{KickedVcpu, Walked, walk};
use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;
use rig_judge::Invariant;
use rig_wire::event::{Kind, flags};
use rstest::rstest;
use seam_emu::abi::Leaf;
use seam_emu::{Fault, FaultAction, FaultPoint};
use seam_kvm::{Exception, Exit, KvmVcpu, Operation, Vcpu, VcpuError};
use std::sync::atomic::AtomicBool;

/// Somewhere in the first GiB, for the SEAMCALL's operands.
const ARGUMENTS: u64 = 0x30_0000;
/// `TDX_SEAMCALL_VMFAILINVALID`, which `__seamcall` puts into RAX when CF is set. Source: `arch/x86/include/asm/tdx.h`.
const VMFAILINVALID: u64 = 0x8000_ff00_ffff_0000;

fn fault(action: FaultAction) -> Fault {
    Fault { leaf: "SEAMLDR.INSTALL".into(), lp: Some(1), nth: 1, times: Some(1), at: FaultPoint::Before, action }
}

/// One CPU's failure ends the update on all of them.
#[rstest]
#[case::a_status(FaultAction::Status(0x8000_0000_0001_0003), 0)]
#[case::carry(FaultAction::VmFailInvalid, flags::VMFAIL_INVALID)]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_failure_stops_the_update(#[case] action: FaultAction, #[case] flag: u32) {
    let mut case = Case { faults: vec![fault(action)], ..Case::new(3) };
    silence(&mut case.image);
    let outcome = case.go().unwrap();
    let codes: Vec<Walked> = outcome.walks[0].clone();
    assert!(codes.iter().any(|walked| !matches!(walked, Walked::Returned(0))), "{codes:?}");
    assert!(codes.iter().all(|walked| matches!(walked, Walked::Returned(_))), "{codes:?}");
    assert!(outcome.broken().is_empty(), "{:#?}", outcome.examined.findings.breaches());
    assert!(outcome.held().contains(&Invariant::StopOnFailure));
    assert_eq!(outcome.count(Kind::SeamcallEnter, Leaf::SysInit.number()), 0, "no CPU goes on");
    let exit = outcome.records.iter().find(|r| r.kind == Kind::SeamcallExit as u16 && r.flags & flags::FAULT != 0);
    assert_eq!(exit.expect("the fault struck").flags & flags::VMFAIL_INVALID, flag);
}

/// Calls the kernel's `__seamcall(SYS.LP.INIT, arguments)`.
fn seamcall(prepared: &Prepared, case: &Case, vcpu: &mut impl KickedVcpu) -> Walked {
    let function = address(&case.image, "__seamcall");
    prepared.machine.call(vcpu, 0, function, [Leaf::SysLpInit.number(), ARGUMENTS]);
    walk(&prepared.emulator, 0, vcpu, &AtomicBool::new(false)).unwrap().0
}

/// The site in `__seamcall`.
fn site(prepared: &Prepared, case: &Case) -> u64 {
    let function = address(&case.image, "__seamcall");
    let is_it = |address: u64| (function..function + 0x80).contains(&address);
    let mut all = prepared.emulator.sites().all().iter();
    all.find(|s| s.operation == Operation::Seamcall && is_it(s.address)).expect("it makes a SEAMCALL").address
}

/// Outside of VMX root operation SEAMCALL is an undefined opcode. RIP is that of the SEAMCALL.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn an_undefined_opcode_is_raised_at_the_seamcall() {
    let case = Case { in_vmx_root: false, ..Case::new(1) };
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = prepared.vcpus.remove(0);
    let raised = Walked::Raised { vector: 6, address: site(&prepared, &case), error_code: None };
    assert_eq!(seamcall(&prepared, &case, &mut vcpu), raised);
}

/// A vCPU whose code counts as of this privilege level.
struct Unprivileged(KvmVcpu<VcpuFd>);

impl Vcpu for Unprivileged {
    fn enter(&mut self) -> Result<Exit, VcpuError> {
        self.0.enter()
    }
    fn registers(&self) -> kvm_regs {
        self.0.registers()
    }
    fn set_registers(&mut self, registers: &kvm_regs) {
        self.0.set_registers(registers);
    }
    fn is_kicked(&self) -> bool {
        self.0.is_kicked()
    }
    fn complete(&mut self) -> Result<(), VcpuError> {
        self.0.complete()
    }
    fn raise(&mut self, exception: Exception) -> Result<(), VcpuError> {
        self.0.raise(exception)
    }
    fn cr4(&self) -> Result<u64, VcpuError> {
        self.0.cr4()
    }
    fn set_cr4(&mut self, value: u64) -> Result<bool, VcpuError> {
        self.0.set_cr4(value)
    }
    fn cpl(&self) -> u8 {
        3
    }
}

impl KickedVcpu for Unprivileged {
    fn take_kick(&self) {
        self.0.take_kick();
    }
}

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_seamcall_without_privilege_is_a_protection_fault() {
    let case = Case::new(1);
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = Unprivileged(prepared.vcpus.remove(0));
    let raised = Walked::Raised { vector: 13, address: site(&prepared, &case), error_code: Some(0) };
    assert_eq!(seamcall(&prepared, &case, &mut vcpu), raised);
}

/// The same function without any of that: CF and RAX come back as the kernel's code expects them.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn carry_and_status_come_back_to_the_kernels_code() {
    let refused = Fault { leaf: "TDH.SYS.LP.INIT".into(), lp: None, ..fault(FaultAction::VmFailInvalid) };
    let case = Case { faults: vec![refused], ..Case::new(1) };
    let mut prepared = case.prepare().unwrap();
    let mut vcpu = prepared.vcpus.remove(0);
    assert_eq!(seamcall(&prepared, &case, &mut vcpu), Walked::Returned(VMFAILINVALID));
    // The second call is no fault: the firmware answers, with an error, since this LP is initialised.
    let Walked::Returned(status) = seamcall(&prepared, &case, &mut vcpu) else { panic!("it returns") };
    assert!(status != 0 && status != VMFAILINVALID, "{status:#x}");
}
