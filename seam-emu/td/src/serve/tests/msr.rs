//! RDMSR and WRMSR, and the interrupts that some of the registers are about.

use super::*;

/// What a TD reads of an MSR; none: another outcome than a value.
fn rdmsr(machine: &mut Machine, msr: u64) -> Option<u64> {
    let rip = machine.get(vmcb::RIP);
    machine.gprs[gpr::RCX] = msr;
    machine.exit(0x7C, [0, 0]);
    let read = machine.gprs[gpr::RDX] << 32 | machine.get(vmcb::RAX);
    (machine.get(vmcb::RIP) == rip + 2).then_some(read)
}

/// The exception that writing an MSR raises.
fn wrmsr(machine: &mut Machine, msr: u64, value: u64) -> Option<Event> {
    machine.gprs[gpr::RCX] = msr;
    machine.td().vmcb.set(vmcb::RAX, value & 0xFFFF_FFFF);
    machine.gprs[gpr::RDX] = value >> 32;
    machine.exit(0x7C, [1, 0]);
    machine.vcpu.ve = None;
    machine.injected()
}

#[test]
fn efer_hides_svm_and_lets_a_td_change_sce() {
    let mut machine = Machine::new();
    assert_eq!(rdmsr(&mut machine, 0xC000_0080), Some(0xD00));
    assert_eq!(wrmsr(&mut machine, 0xC000_0080, 0x901), None);
    assert_eq!(rdmsr(&mut machine, 0xC000_0080), Some(0xD01), "LMA is the processor's");
    for other in [0xC01, 0x501, 0x1D01, 0x8000_0000_0000_0D01] {
        assert_eq!(wrmsr(&mut machine, 0xC000_0080, other), Some(Event::VE), "{other:#x}");
    }
    assert_eq!(machine.get(vmcb::EFER), 0x1D01);
}

#[test]
fn a_tds_own_registers_keep_what_it_writes() {
    let mut machine = Machine::new();
    assert_eq!(rdmsr(&mut machine, 0x277), Some(0x0007_0406_0007_0406));
    for (msr, value) in [(0x277, 0x0007_0106_0007_0106), (0x48, 1), (0x1D9, 0x4000), (0x600, 0x8_0000_0000)] {
        assert_eq!(wrmsr(&mut machine, msr, value), None);
        assert_eq!(rdmsr(&mut machine, msr), Some(value), "{msr:#x}");
    }
    assert_eq!(rdmsr(&mut machine, 0x10A), Some(1 << 19));
    assert_eq!(wrmsr(&mut machine, 0xDA0, 1 << 11), Some(Event::GP), "XFAM has no CET");
    assert_eq!(wrmsr(&mut machine, 0x1D9, 1 << 16), Some(Event::GP));
    assert_eq!(wrmsr(&mut machine, 0x9B, 0), Some(Event::GP));
    assert_eq!(wrmsr(&mut machine, 0x6E0, 0), Some(Event::VE));
    assert_eq!(rdmsr(&mut machine, 0x49), None, "for writing alone");
}

#[test]
fn interrupts_are_posted_taken_and_ended() {
    let mut machine = Machine::new();
    posted(&mut machine.td(), [0, 1, 0, 0]);
    resume(&mut machine.td(), &mut false);
    let offered: [u32; 2] = [vmcb::VIRTUAL_INTERRUPT, vmcb::VIRTUAL_INTERRUPT_VECTOR].map(|field| machine.get(field));
    assert_eq!(offered, [0x11F_0100, 0x40]);
    assert_eq!(rdmsr(&mut machine, 0x822), Some(1), "requested: it was not taken");
    machine.td().vmcb.set(vmcb::VIRTUAL_INTERRUPT, 1 << 24);
    assert_eq!((rdmsr(&mut machine, 0x822), rdmsr(&mut machine, 0x812)), (Some(0), Some(1)), "in service");
    assert_eq!(rdmsr(&mut machine, 0x80A), Some(0x40));
    assert_eq!(wrmsr(&mut machine, 0x83F, 0x4F), None);
    assert!(!machine.vcpu.apic.interrupt_waits(), "the same class");
    assert_eq!(wrmsr(&mut machine, 0x80B, 0), None);
    assert!(machine.vcpu.apic.interrupt_waits());
    assert_eq!(wrmsr(&mut machine, 0x808, 0x40), None);
    assert_eq!((rdmsr(&mut machine, 0x808), machine.vcpu.apic.interrupt_waits()), (Some(0x40), false));
    for (msr, value) in [(0x80B, 1), (0x808, 0x100), (0x83F, 0x100), (0x80A, 0), (0x812, 0)] {
        assert_eq!(wrmsr(&mut machine, msr, value), Some(Event::GP), "{msr:#x}");
    }
    assert_eq!(rdmsr(&mut machine, 0x80B), None, "for writing alone");
}
