//! From the stub back behind the VMM's SEAMCALL.

use super::guests::Guest;
use super::hidden::Hidden;
use super::{Root, Run};
use crate::emulator::Emulator;
use crate::registers::{self, Reg};
use crate::seamcall;
use seam_emu::{Registers, TdExit};
use seam_td::hidden::KEPT_SIZE;
use std::sync::atomic::Ordering::Relaxed;

/// The stub is done: brings the VMM back behind its SEAMCALL, with what it gets. Returns the address to go on at.
pub(super) fn back(emulator: &Emulator, root: &Root, lp: usize) -> Option<u64> {
    let Run { guest, vmm, after } = root.run(lp).take().expect("the stub runs on behalf of a vCPU");
    registers::write(Reg::Cr3, vmm.cr3);
    registers::write(Reg::Efer, vmm.efer);
    registers::write(Reg::Eflags, vmm.eflags);
    registers::write(Reg::Rsp, vmm.rsp);
    let after = after.expect("decided before the stub leaves");
    // RBP passes like the others, but is no operand of any other leaf.
    let rbp_passes = guest.vcpu.vmcall.is_some_and(|mask| mask & 1 << 5 != 0);
    let rbp = if rbp_passes { guest.td_rbp(root.hidden()) } else { vmm.rbp };
    registers::write(Reg::Rbp, rbp);
    root.machine().phys_bits.restore(lp, vmm.phys_bits);
    let exit = TdExit {
        vmcall: guest.vcpu.vmcall.is_some(),
        dead: guest.vcpu.dead,
        interrupt_waits: guest.vcpu.apic.interrupt_waits(),
        registers: guest.keep(root.hidden()),
    };
    root.guests.put(guest);
    let completion = emulator.firmware().leave_td(lp, exit);
    seamcall::returned(emulator, lp, vmm.pc, vmm.flight, (vmm.before, after, completion))
}

impl Guest {
    /// Lays what the module keeps beside the registers. Returns where all of it lies.
    fn keep(&self, hidden: &Hidden) -> Registers {
        let bytes: Vec<u8> = self.vcpu.words().into_iter().flat_map(u64::to_le_bytes).collect();
        assert!(bytes.len() <= KEPT_SIZE, "a vCPU has a few MSRs of its own");
        hidden.write(self.place.kept(), &bytes);
        let all = self.place.all();
        let pa = hidden.physical + all.start;
        Registers { pa, bytes: all.end - all.start, general: hidden.physical + self.place.gprs() }
    }

    fn td_rbp(&self, hidden: &Hidden) -> u64 {
        hidden.word(self.place.gprs() + 5 * 8).load(Relaxed)
    }
}
