//! From the VMM into the stub.

use super::hidden::Hidden;
use super::stub::Place;
use super::{Root, Run, Vmm, layout};
use crate::in_flight::InFlight;
use crate::memory::Physical;
use crate::registers::{self, RFLAGS_IF, Reg};
use seam_emu::{GuestMemory, Regs};
use seam_td::hidden::{PAGE, context, linear};
use seam_td::serve;
use std::sync::atomic::Ordering::Relaxed;

const CR4_LA57: u64 = 1 << 12;
const EFER_SVME: u64 = 1 << 12;
/// Of a CR3, the address of the top page table.
const CR3_ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
/// CF, PF, AF, ZF, SF, OF and DF, which TCG keeps elsewhere and QEMU's gdb interface would only add to.
const ELSEWHERE: u64 = 0xCD5;
/// RFLAGS without any flag.
const NO_FLAGS: u64 = 2;

/// A vCPU that the firmware let the LP enter, out of the TDs' vCPUs.
pub(crate) struct Entered(super::Guest);

impl Root {
    /// Takes the vCPU of an entry. Call while the firmware that gave it is held, in the callback of SEAMCALL.
    pub(crate) fn take(&self, firmware: &seam_emu::Firmware, entry: &seam_emu::VpEntry) -> Entered {
        let levels = if registers::read(Reg::Cr4) & CR4_LA57 != 0 { 5 } else { 4 };
        let wanted = (levels, registers::read(Reg::Cs) as u16);
        let filled = self.filled.get_or_init(|| {
            layout::fill(self.hidden(), wanted.0, wanted.1, self.runs.len());
            wanted
        });
        assert_eq!(*filled, wanted, "all LPs have the VMM's one paging mode and one code segment");
        let invalidations = self.invalidations.load(Relaxed);
        Entered(self.guests.take(self.hidden(), (firmware, entry), levels, invalidations))
    }
}

/// Goes into the stub, for the SEAMCALL at `pc` with these operands. Returns the address to go on at.
pub(crate) fn enter(root: &Root, lp: usize, pc: u64, (before, flight): (Regs, InFlight), entered: Entered) -> u64 {
    let Entered(mut guest) = entered;
    let eflags = registers::read(Reg::Eflags);
    let if_flag = if flight.active && flight.interrupts { RFLAGS_IF } else { 0 };
    let vmm = Vmm {
        pc,
        before,
        rbp: registers::read(Reg::Rbp),
        rsp: registers::read(Reg::Rsp),
        cr3: registers::read(Reg::Cr3),
        efer: registers::read(Reg::Efer),
        eflags: eflags & !ELSEWHERE | if_flag,
        phys_bits: root.machine().phys_bits.widen(lp),
        flight: InFlight { active: false, ..flight },
    };
    let hidden = root.hidden();
    let mut td = guest.td(hidden);
    serve::enter(&mut td, &by_number(&before, vmm.rbp, vmm.rsp));
    let mut nmi = guest.nmi;
    serve::resume(&mut guest.td(hidden), &mut nmi);
    guest.nmi = nmi;
    let place = layout::place(lp);
    let base = linear(root.levels());
    let at = place.context();
    for (field, value) in [
        (context::VMCB, hidden.physical + guest.place.vmcb()),
        (context::GPRS, base + guest.place.gprs()),
        (context::TD_XSAVE, base + guest.place.xsave()),
        (context::TD_XCR0, guest.vcpu.xcr0),
    ] {
        hidden.word(at + field).store(value, Relaxed);
    }
    hidden.half(at + context::VECTOR).store(0, Relaxed);
    let cr3 = address_space(hidden, root.levels(), lp, vmm.cr3);
    registers::write(Reg::Eflags, NO_FLAGS);
    registers::write(Reg::Efer, vmm.efer | EFER_SVME);
    registers::write(Reg::Cr3, cr3);
    registers::write(Reg::Rbx, base + at);
    registers::write(Reg::Rsp, base + place.stack_end());
    *root.run(lp) = Some(Run { guest, vmm, after: None });
    root.address(Place::Enter)
}

/// A copy of the VMM's address space with hidden memory in it: its CR3.
fn address_space(hidden: &Hidden, levels: u8, lp: usize, cr3: u64) -> u64 {
    let mut top = [0; PAGE as usize];
    Physical.read(cr3 & CR3_ADDRESS, &mut top).expect("the VMM's top page table is in RAM");
    layout::address_space(hidden, levels, lp, &top)
}

/// Registers by their numbers in an instruction's encoding.
fn by_number(regs: &Regs, rbp: u64, rsp: u64) -> [u64; 16] {
    let Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = *regs;
    [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15]
}
