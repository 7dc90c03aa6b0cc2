//! The same kernel with an error planted in its machine code: the judge must find it in what was recorded.

use crate::harness::case::Case;
use crate::harness::kernel::{NUM_ACK, SECTION, plant, replace_calls, silence};
use rig_judge::Invariant;
use rig_wire::plan::{Hold, HoldStart, Point, Since, Until};
use rstest::rstest;
use seam_kvm::KernelImage;

/// Instructions that do nothing, of 2, 5 and 6 bytes.
const NOP_2: &[u8] = &[0x66, 0x90];
const NOP_5: &[u8] = &[0x0f, 0x1f, 0x44, 0, 0];
const NOP_6: &[u8] = &[0x66, 0x0f, 0x1f, 0x44, 0, 0];

#[rstest]
// mov __num_online_cpus, %ecx becomes mov $2, %ecx: with four CPUs the state advances at half of the acknowledgements.
#[case::half_of_the_acknowledgements(Invariant::Lockstep, |image: &mut KernelImage| {
    let code = image.symbols().extent(SECTION).and_then(|(start, size)| image.bytes(start, size)).unwrap();
    let load = code.windows(2).position(|bytes| bytes == [0x8b, 0x0d]).expect("it loads the count of CPUs");
    let old = code[load..load + 6].to_vec();
    plant(image, SECTION, &old, 0, &[0xb9, 2, 0, 0, 0, 0x90]);
})]
// cmp %ecx, %eax; jne +8
#[case::advance_at_any_acknowledgement(Invariant::Lockstep, |image: &mut KernelImage| {
    plant(image, SECTION, &[0x39, 0xc8, 0x75, 0x08], 2, NOP_2);
})]
// add $1, %eax becomes add $2, %eax
#[case::acknowledgements_counted_twice(Invariant::Lockstep, |image: &mut KernelImage| {
    plant(image, SECTION, &[0x83, 0xc0, 0x01], 2, &[2]);
})]
// test %r14d, %r14d; jne
#[case::shutdown_on_every_cpu(Invariant::LeadOnly, |image: &mut KernelImage| {
    plant(image, SECTION, &[0x45, 0x85, 0xf6, 0x0f, 0x85], 3, NOP_6);
})]
#[case::update_on_every_cpu(Invariant::LeadOnly, |image: &mut KernelImage| {
    plant(image, SECTION, &[0x45, 0x85, 0xf6, 0x75], 3, NOP_2);
})]
// xor %eax, %eax
#[case::no_install(Invariant::Participation, |image: &mut KernelImage| {
    replace_calls(image, SECTION, "seamldr_install", &[0x31, 0xc0, 0x0f, 0x1f, 0]);
})]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_planted_error_is_caught(#[case] broken: Invariant, #[case] plant: fn(&mut KernelImage)) {
    let mut case = Case::new(4);
    silence(&mut case.image);
    plant(&mut case.image);
    let outcome = case.go().unwrap();
    assert_eq!(outcome.examined.findings.fault, None);
    assert_eq!(outcome.broken(), [broken].into(), "{:#?}", outcome.examined.findings.breaches());
}

/// The caller's error: `multi_cpu_stop()` that leaves interrupts enabled. STI in the section would be it, too, but a
/// KVM that executes level 3 itself may know no IOPL.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn interrupts_that_are_enabled_are_caught() {
    let outcome = Case { interrupts: true, ..Case::new(2) }.go().unwrap();
    assert_eq!(outcome.broken(), [Invariant::InterruptsOff].into(), "{:#?}", outcome.examined.findings.breaches());
}

/// What the twins differ from: a change without consequences is not caught.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_change_without_consequences_is_not_caught() {
    let mut case = Case::new(4);
    // pause in the loop that waits for the next state becomes a nop
    plant(&mut case.image, SECTION, &[0xf3, 0x90], 0, NOP_2);
    let outcome = case.go().unwrap();
    assert!(outcome.succeeded(1) && outcome.broken().is_empty(), "{:#?}", outcome.examined.findings.breaches());
}

/// Without its lock the kernel can still be lucky; the records cannot say otherwise, but they say what happened.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn acknowledgements_without_their_lock_are_lost_when_one_is_held_in_between() {
    let mut case = Case::new(2);
    replace_calls(&mut case.image, SECTION, "_raw_spin_lock", NOP_5);
    replace_calls(&mut case.image, SECTION, "_raw_spin_unlock", NOP_5);
    // CPU 0 stores its acknowledgement when CPU 1 has read the counter, and CPU 1 stores its own after that.
    let (load, store) = (Point::Load { watch: NUM_ACK }, Point::Store { watch: NUM_ACK });
    let passed = |lp, at: &Point| Until::Passed { lp, at: at.clone(), nth: 1, since: Since::Update };
    let hold = |lp, until| {
        let (at, from) = (store.clone(), HoldStart::Section);
        Hold { lp, at, nth: 1, from, until, limit_ns: 5_000_000_000 }
    };
    case.schedules = vec![vec![hold(0, passed(1, &load)), hold(1, passed(0, &store))]];
    let outcome = case.go().unwrap();
    assert!(outcome.broken().contains(&Invariant::Lockstep), "{:#?}", outcome.examined.findings.invariants);
}
