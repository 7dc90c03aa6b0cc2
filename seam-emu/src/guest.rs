//! What the firmware does for a TD while its machine code runs on a processor that is not the model's.

use crate::context::Context;
use crate::entry::{TdExit, TdcallEnd, Translation};
use crate::inflight::Phase;
use crate::module;
use crate::module::td::cpuid;
use crate::{Completion, Firmware, GuestMemory, Outcome, Regs};

impl Firmware {
    /// Where an access of the vCPU that this LP runs leads.
    ///
    /// Panics if the LP runs none.
    pub fn translate(&mut self, lp: usize, mem: &mut dyn GuestMemory, gpa: u64, write: bool) -> Translation {
        let tdvpr = self.running(lp);
        module::translate(&mut self.context(lp, mem), tdvpr, gpa, write)
    }

    /// A TDCALL of the vCPU that this LP runs, of a leaf that needs more than the vCPU's registers.
    ///
    /// Panics if the LP runs none.
    pub fn tdcall(&mut self, lp: usize, mem: &mut dyn GuestMemory, regs: &mut Regs) -> TdcallEnd {
        let tdvpr = self.running(lp);
        module::tdg::dispatch(&mut self.context(lp, mem), tdvpr, regs)
    }

    /// What the module answers to CPUID of the vCPU that this LP runs, but for what depends on the vCPU: EAX, EBX, ECX, EDX; none:
    /// #VE.
    ///
    /// Panics if the LP runs none.
    pub fn td_cpuid(&mut self, lp: usize, leaf: u32, subleaf: u32) -> Option<[u32; 4]> {
        let tdvpr = self.running(lp);
        let protected = &self.state.world.protected;
        let settings = &protected.tds[&protected.vcpus[&tdvpr].tdr].settings;
        cpuid::answer(&settings.cpuid, &settings.traits(self.config.cpuid_1_eax), leaf, subleaf)
    }

    /// A physical interrupt with this vector came while the LP runs a vCPU. If it tells the vCPU that interrupts were posted for
    /// it, takes them, one bit for each vector; none: it is the VMM's.
    ///
    /// Panics if the LP runs none.
    pub fn posted(&mut self, lp: usize, mem: &mut dyn GuestMemory, vector: u8) -> Option<[u64; 4]> {
        let tdvpr = self.running(lp);
        let cx = &mut self.context(lp, mem);
        module::is_notification(cx, tdvpr, vector).then(|| module::take_posted(cx, tdvpr))
    }

    /// The vCPU that this LP runs leaves to the VMM.
    ///
    /// Panics if the LP runs none.
    pub fn leave_td(&mut self, lp: usize, exit: TdExit) -> Completion {
        let tdvpr = self.running(lp);
        let vcpu = self.state.world.protected.vcpus.get_mut(&tdvpr).expect("a vCPU that runs exists");
        vcpu.after_vmcall = exit.vmcall;
        vcpu.disabled |= exit.dead;
        vcpu.interrupt_waits = exit.interrupt_waits;
        vcpu.registers = exit.registers;
        let call = self.state.calls[lp].pop_inside().expect("the LP runs a vCPU");
        let Phase::InTd { at_end, .. } = call.phase else { unreachable!("running() says so") };
        self.leave(lp, at_end);
        Completion::plain(Outcome::Return)
    }

    /// Whether there is a TD with its TDR at this physical address.
    pub fn has_td(&self, tdr: u64) -> bool {
        self.state.world.protected.tds.contains_key(&tdr)
    }

    /// Whether there is a vCPU with its TDVPR at this physical address.
    pub fn has_vcpu(&self, tdvpr: u64) -> bool {
        self.state.world.protected.vcpus.contains_key(&tdvpr)
    }

    /// The vCPU that this LP runs, by its TDVPR.
    fn running(&self, lp: usize) -> u64 {
        match self.state.calls[lp].inside().map(|call| &call.phase) {
            Some(Phase::InTd { tdvpr, .. }) => *tdvpr,
            other => panic!("LP {lp} runs no vCPU: {other:?}"),
        }
    }

    /// For a leaf that this LP calls.
    pub(crate) fn context<'a>(&'a mut self, lp: usize, mem: &'a mut dyn GuestMemory) -> Context<'a> {
        let state = &mut self.state;
        Context {
            config: &self.config,
            platform: &self.platform,
            world: &mut state.world,
            locks: &mut state.locks,
            mem,
            notes: &mut self.notes,
            lp,
            calls: &state.calls,
            pages: 0,
            contended: false,
            unmodelled: false,
            at_end: crate::inflight::AtEnd::default(),
            entry: None,
            corruption: None,
            internal_failure: None,
        }
    }
}
