mod msr;

use super::*;
use crate::vcpu::{About, Vcpu};
use crate::vmcb::{SIZE, Segment, SegmentName, Vmcb};

const ABOUT: About = About {
    gpaw: 48,
    attributes: 1 << 28,
    xfam: 7,
    vcpus: 2,
    max_vcpus: 4,
    index: 1,
    cpuid_1_eax: 0,
    arch_capabilities: 1 << 19,
};

/// A vCPU in 64-bit mode at 0x1000.
struct Machine {
    page: [u8; SIZE],
    gprs: [u64; 16],
    vcpu: Vcpu,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self { page: [0; SIZE], gprs: [0; 16], vcpu: Vcpu::new(ABOUT) };
        let vmcb = &mut machine.td().vmcb;
        vmcb.set(vmcb::EFER, 0x1D00);
        vmcb.set_segment(SegmentName::Cs, Segment { attributes: 0xA9B, ..Segment::default() });
        vmcb.set(vmcb::RIP, 0x1000);
        machine
    }

    fn td(&mut self) -> Td<'_> {
        Td { vmcb: Vmcb::new(&mut self.page), gprs: &mut self.gprs, vcpu: &mut self.vcpu }
    }

    fn exit(&mut self, code: u64, info: [u64; 2]) -> Next {
        let mut td = self.td();
        td.vmcb.set(vmcb::EXIT_CODE, code);
        td.vmcb.set(vmcb::EXIT_INFO_1, info[0]);
        td.vmcb.set(vmcb::EXIT_INFO_2, info[1]);
        serve(&mut td)
    }

    /// TDCALL, as the plugin sees it: the instruction, then its #UD.
    fn tdcall(&mut self, rax: u64) -> Next {
        let rip = self.get(vmcb::RIP);
        self.vcpu.tdcall_at = Some(rip);
        self.td().vmcb.set(vmcb::RAX, rax);
        self.exit(0x46, [0, 0])
    }

    fn get<T: vmcb::Word>(&mut self, field: vmcb::Field<T>) -> T {
        self.td().vmcb.get(field)
    }

    fn injected(&mut self) -> Option<Event> {
        Event::decode(self.get(vmcb::EVENT_INJECTION))
    }
}

/// Each exit that becomes a #VE: its code and details, and what TDG.VP.VEINFO.GET tells.
#[test]
fn what_the_module_does_not_virtualise_raises_ve() {
    for (code, info, reason, qualification, length) in [
        (0x78, [0, 0], 12, 0, 1),
        (0x7B, [0x03F8_0010, 0x1001], 30, 0x03F8_0000, 1),
        (0x7C, [0, 0], 31, 0, 2),
        (0x7C, [1, 0], 32, 0, 2),
        (0x8B, [0, 0], 36, 0, 3),
        (0x8A, [0, 0], 39, 0, 3),
        (0x89, [0, 0], 54, 0, 2),
    ] {
        let mut machine = Machine::new();
        assert_eq!(machine.exit(code, info), Next::Resume, "{code:#x}");
        assert_eq!(machine.injected(), Some(Event::VE));
        assert_eq!(machine.get(vmcb::RIP), 0x1000, "the handler decides where to go on");
        assert_eq!(machine.tdcall(3), Next::Resume);
        assert_eq!(
            (machine.get(vmcb::RAX), machine.gprs[gpr::RCX], machine.gprs[gpr::RDX]),
            (0, reason, qualification)
        );
        assert_eq!(machine.gprs[gpr::R10], length);
        assert_eq!(machine.tdcall(3), Next::Resume);
        assert_eq!(machine.get(vmcb::RAX), 0xC000_0704_0000_0000, "it is told once");
    }
}

#[test]
fn a_second_ve_before_the_first_is_asked_about_is_a_double_fault() {
    let mut machine = Machine::new();
    machine.exit(0x78, [0, 0]);
    machine.exit(0x78, [0, 0]);
    assert_eq!(machine.injected(), Some(Event::DF));
}

#[test]
fn a_tdcall_is_one_only_where_it_was_seen() {
    let mut machine = Machine::new();
    machine.vcpu.tdcall_at = Some(0x2000);
    assert_eq!(machine.exit(0x46, [0, 0]), Next::Resume);
    assert_eq!((machine.injected(), machine.get(vmcb::RIP)), (Some(Event::UD), 0x1000));
    assert_eq!(machine.vcpu.tdcall_at, None, "a stale address must not turn a later #UD into a TDCALL");
    machine.td().vmcb.set(vmcb::CPL, 3);
    assert_eq!(machine.tdcall(1), Next::Resume);
    assert_eq!(machine.injected(), Some(Event::GP));
    machine.td().vmcb.set(vmcb::CPL, 0);
    machine.td().vmcb.set(vmcb::EFER, 0x1900);
    assert_eq!(machine.tdcall(1), Next::Resume);
    assert_eq!(machine.injected(), Some(Event::UD), "there is no TDCALL outside 64-bit mode");
}

#[test]
fn a_td_learns_about_itself() {
    let mut machine = Machine::new();
    machine.gprs.fill(7);
    assert_eq!(machine.tdcall(1), Next::Resume);
    assert_eq!((machine.get(vmcb::RAX), machine.get(vmcb::RIP)), (0, 0x1004));
    assert_eq!(machine.gprs[..4], [7, 48, 1 << 28, 7]);
    assert_eq!(machine.gprs[8..13], [4 << 32 | 2, 1, 0, 0, 7]);
}

#[test]
fn versions_are_refused() {
    for rax in [1 << 16, 1 << 16 | 1, 2 << 16 | 5, 1 << 63] {
        let mut machine = Machine::new();
        assert_eq!(machine.tdcall(rax), Next::Resume);
        assert_eq!(machine.get(vmcb::RAX), 0xC000_0100_0000_0000, "{rax:#x}");
    }
}

#[test]
fn the_firmware_serves_what_needs_more_than_registers() {
    for leaf in [2, 4, 6, 7, 8, 9, 10, 11, 12, 0xFFFF] {
        assert!(tdcall::is_firmwares(leaf) && tdcall::is_answered_at_once(leaf));
        let mut machine = Machine::new();
        assert_eq!(machine.tdcall(leaf), Next::Firmware);
        assert_eq!((machine.get(vmcb::RIP), machine.get(vmcb::RAX)), (0x1000, leaf), "nothing has happened yet");
        tdcall::finish(&mut machine.td(), 0xB0A);
        assert_eq!((machine.get(vmcb::RIP), machine.get(vmcb::RAX)), (0x1004, 0xB0A));
    }
    assert!([0, 1, 3, 5].into_iter().all(|leaf| !tdcall::is_firmwares(leaf)));
}

#[test]
fn a_td_may_wish_that_cpuid_raises_ve() {
    for (wish, cpl, event) in
        [(0, 0, None), (1, 0, Some(Event::VE)), (1, 3, None), (2, 0, None), (2, 3, Some(Event::VE))]
    {
        let mut machine = Machine::new();
        machine.gprs[gpr::RCX] = wish;
        machine.tdcall(5);
        assert_eq!(machine.get(vmcb::RAX), 0);
        machine.gprs[gpr::RCX] = 0;
        machine.td().vmcb.set(vmcb::RAX, 0x21);
        machine.td().vmcb.set(vmcb::CPL, cpl);
        let next = machine.exit(0x72, [0, 0]);
        assert_eq!((next == Next::Resume, machine.injected()), (event.is_some(), event), "{wish} {cpl}");
    }
    let mut machine = Machine::new();
    machine.gprs[gpr::RCX] = 4;
    machine.tdcall(5);
    assert_eq!(machine.get(vmcb::RAX), 0xC000_0100_0000_0001);
}

#[test]
fn a_vmcall_passes_the_registers_of_its_mask_both_ways() {
    let mut machine = Machine::new();
    machine.gprs = std::array::from_fn(|number| 0x100 + number as u64);
    machine.gprs[gpr::RCX] = 0xFC00;
    let Next::Leave(leave) = machine.tdcall(0) else { panic!("the VMM is asked") };
    let mut wanted = [0; 16];
    wanted[gpr::RCX] = 0xFC00;
    wanted[10..].copy_from_slice(&[0x10A, 0x10B, 0x10C, 0x10D, 0x10E, 0x10F]);
    assert_eq!(leave, Leave { rax: 77, gprs: wanted });
    let vmm = [0x55; 16];
    enter(&mut machine.td(), &vmm);
    assert_eq!((machine.get(vmcb::RAX), machine.gprs[gpr::RCX]), (0, 0xFC00));
    assert_eq!((machine.gprs[9], machine.gprs[10], machine.gprs[15]), (0x109, 0x55, 0x55));
    enter(&mut machine.td(), &[0x66; 16]);
    assert_eq!(machine.gprs[10], 0x55, "only the entry behind a VMCALL passes registers in");
}

#[test]
fn a_vmcall_cannot_pass_what_is_not_the_tds() {
    for mask in [1, 1 << 1, 1 << 4, 1 << 16, 1 << 32] {
        let mut machine = Machine::new();
        machine.gprs[gpr::RCX] = mask;
        assert_eq!(machine.tdcall(0), Next::Resume);
        assert_eq!((machine.get(vmcb::RAX), machine.vcpu.vmcall), (0xC000_0100_0000_0001, None), "{mask:#x}");
    }
}

/// What a TD gets where the firmware has these values.
fn cpuid(machine: &mut Machine, leaf: u32, subleaf: u32, values: Option<[u32; 4]>) -> (Next, [u64; 4]) {
    machine.td().vmcb.set(vmcb::RAX, leaf.into());
    machine.gprs[gpr::RCX] = subleaf.into();
    assert_eq!(machine.exit(0x72, [0, 0]), Next::Cpuid { leaf, subleaf });
    let next = cpuid::finish(&mut machine.td(), (leaf, subleaf), values);
    (next, [machine.get(vmcb::RAX), machine.gprs[gpr::RBX], machine.gprs[gpr::RCX], machine.gprs[gpr::RDX]])
}

#[test]
fn cpuid_has_the_firmwares_values() {
    let mut machine = Machine::new();
    let name = [0, 0x6574_6E49, 0x2020_2020, 0x5844_546C];
    assert_eq!(cpuid(&mut machine, 0x21, 0, Some(name)), (Next::Resume, name.map(u64::from)));
    assert_eq!(machine.get(vmcb::RIP), 0x1002);
    assert_eq!(cpuid(&mut machine, 0x4000_0000, 0, None).0, Next::Resume);
    assert_eq!((machine.injected(), machine.get(vmcb::RIP)), (Some(Event::VE), 0x1002));
    machine.tdcall(3);
    assert_eq!((machine.gprs[gpr::RCX], machine.gprs[gpr::R10]), (10, 2));
}

#[test]
fn cpuid_depends_on_the_vcpu_and_promises_what_is_executed() {
    const ALL: Option<[u32; 4]> = Some([u32::MAX; 4]);
    let mut machine = Machine::new();
    let [_, ebx, ecx, _] = cpuid(&mut machine, 1, 0, ALL).1;
    assert_eq!((ebx >> 24, ecx >> 27 & 1, ecx >> 17 & 1), (1, 0, 0), "number, OSXSAVE, PCID");
    machine.vcpu.cr4 |= 1 << 18 | 1 << 22;
    assert_eq!(cpuid(&mut machine, 1, 0, ALL).1[2] >> 27 & 1, 1);
    let [_, ebx, ecx, _] = cpuid(&mut machine, 7, 0, ALL).1;
    assert_eq!((ebx >> 10 & 1, ebx >> 16 & 1, ecx >> 4 & 1), (0, 0, 1), "INVPCID, AVX-512, OSPKE");
    assert_eq!(cpuid(&mut machine, 0xD, 0, ALL).1[..3], [7, 0x240, 0x340]);
    machine.vcpu.xcr0 = 7;
    assert_eq!(cpuid(&mut machine, 0xD, 1, ALL).1[..3], [0b101, 0x340, 0]);
    assert_eq!(cpuid(&mut machine, 0xD, 2, Some([0x100, 0x240, 0, 0])).1[..2], [0x100, 0x240]);
    assert_eq!(cpuid(&mut machine, 0xD, 64, ALL).1, [0; 4]);
    assert_eq!(cpuid(&mut machine, 0x8000_0001, 0, ALL).1[3] >> 11 & 1, 1, "SYSCALL in 64-bit mode");
    assert_eq!(cpuid(&mut machine, 0x1D, 1, ALL).1, [0; 4]);
}

#[test]
fn xcr0_enables_what_xfam_allows() {
    for (index, wanted, xfam, next) in [
        (0, 7, 7, Some(7)),
        (0, 1, 7, Some(1)),
        (0, 7, 3, None),
        (0, 2, 7, None),
        (0, 5, 7, None),
        (0, 0x207, 0x602E7, None),
        (1, 7, 7, None),
    ] {
        let mut machine = Machine::new();
        machine.vcpu.about.xfam = xfam;
        machine.gprs[gpr::RCX] = index;
        machine.td().vmcb.set(vmcb::RAX, wanted);
        let answer = machine.exit(0x8D, [0, 0]);
        match next {
            Some(xcr0) => assert_eq!((answer, machine.get(vmcb::RIP)), (Next::ResumeWith(xcr0), 0x1003)),
            None => assert_eq!((answer, machine.injected()), (Next::Resume, Some(Event::GP))),
        }
    }
}

#[test]
fn an_event_that_was_being_delivered_comes_again() {
    let mut machine = Machine::new();
    let event = Event { vector: 14, kind: crate::event::Kind::Exception, error: Some(2) };
    machine.td().vmcb.set(vmcb::EXIT_INTERRUPTION, event.encode());
    let access = Access { gpa: 0x5000, write: true, fetch: false, table: false };
    assert_eq!(machine.exit(0x400, [2, 0x5000]), Next::Missing(access));
    assert_eq!(machine.injected(), Some(event));
    machine.td().vmcb.set(vmcb::EXIT_INTERRUPTION, 0);
    machine.exit(0x400, [2, 0x5000]);
    assert_eq!(machine.injected(), None, "it comes once");
}

#[test]
fn the_vmm_hears_of_violations_interrupts_and_death() {
    let access = Access { gpa: 0x8000_0000_5678, write: true, fetch: false, table: false };
    let left = violation(access, 0b100, 6);
    assert_eq!(
        (left.rax, left.gprs[gpr::RCX], left.gprs[gpr::RDX], left.gprs[gpr::R8]),
        (48, 0x22, 6, 0x8000_0000_5000)
    );
    assert_eq!((acknowledged(0x40).rax, acknowledged(0x40).gprs[gpr::R9]), (1, 0x8000_0040));
    assert_eq!((acknowledged(2).rax, acknowledged(2).gprs[gpr::R9]), (0, 0x8000_0202));
    let mut machine = Machine::new();
    assert_eq!(machine.exit(0x60, [0, 0]), Next::Acknowledge);
    let Next::Leave(left) = machine.exit(0x7F, [0, 0]) else { panic!("the VMM hears of a triple fault") };
    assert_eq!((left.rax, machine.vcpu.dead), (0x4000_0001_0000_0002, true));
}

#[test]
fn instructions_of_svm_do_not_exist_and_impossible_exits_are_ours() {
    let mut machine = Machine::new();
    assert_eq!(machine.exit(0x80, [0, 0]), Next::Resume);
    assert_eq!(machine.injected(), Some(Event::UD));
    assert_eq!(machine.exit(u64::MAX, [0, 0]), Next::Broken(Exit::Invalid));
}

#[test]
fn what_needs_no_vmm_is_answered_before_it_exits() {
    assert!(!tdcall::is_answered_at_once(0) && !tdcall::is_answered_at_once(1 << 16), "TDG.VP.VMCALL, of any version");
    let mut machine = Machine::new();
    for leaf in [1, 3, 5] {
        assert!(tdcall::is_answered_at_once(leaf));
        let status = tdcall::answer(&mut machine.td(), leaf);
        assert_eq!(machine.tdcall(leaf), Next::Resume);
        assert_eq!(machine.get(vmcb::RAX), status, "the same as behind an exit");
    }
    assert_eq!(tdcall::answer(&mut machine.td(), 1), 0);
    assert_eq!(machine.gprs[gpr::RCX], 48);
}

#[test]
fn what_is_answered_at_once_uses_the_registers_that_it_names() {
    for leaf in [1, 3, 5, 1 << 16 | 1] {
        let [one, other] = [3, 0x5555].map(|fill| {
            let mut machine = Machine::new();
            machine.vcpu.ve = Some(VeInfo::of(reason::HLT, 1));
            machine.gprs.fill(fill);
            for number in tdcall::USED_AT_ONCE {
                machine.gprs[number] = 7;
            }
            tdcall::answer(&mut machine.td(), leaf);
            machine.gprs
        });
        for (number, (one, other)) in one.into_iter().zip(other).enumerate() {
            let expected = if tdcall::USED_AT_ONCE.contains(&number) { one } else { 0x5555 };
            assert_eq!(other, expected, "leaf {leaf:#x}, register {number}");
        }
    }
}

#[test]
fn an_access_to_a_pending_page_raises_ve() {
    let mut machine = Machine::new();
    let access = Access { gpa: 0x5678, write: false, fetch: false, table: false };
    assert_eq!(pending(&mut machine.td(), access), Next::Resume);
    assert_eq!(machine.injected(), Some(Event::VE));
    machine.tdcall(3);
    assert_eq!((machine.gprs[gpr::RCX], machine.gprs[9]), (48, 0x5678));
}

#[test]
fn an_nmi_waits_for_another_event() {
    let mut machine = Machine::new();
    let (mut first, mut second) = (true, true);
    resume(&mut machine.td(), &mut first);
    assert_eq!((machine.injected(), first), (Some(Event::NMI), false));
    resume(&mut machine.td(), &mut second);
    assert!(second, "one is delivered already");
}
