//! What the firmware does for a TD while its machine code runs on a processor that is not the model's.

use crate::context::Context;
use crate::entry::Translation;
use crate::inflight::Phase;
use crate::module;
use crate::{Completion, Firmware, GuestMemory, Outcome};

impl Firmware {
    /// Where an access of the vCPU that this LP runs leads.
    ///
    /// Panics if the LP runs none.
    pub fn translate(&mut self, lp: usize, mem: &mut dyn GuestMemory, gpa: u64, write: bool) -> Translation {
        let tdvpr = self.running(lp);
        module::translate(&mut self.context(lp, mem), tdvpr, gpa, write)
    }

    /// The vCPU that this LP runs leaves to the VMM. `vmcall`: by TDG.VP.VMCALL, `dead`: by a fault that ends it.
    ///
    /// Panics if the LP runs none.
    pub fn leave_td(&mut self, lp: usize, vmcall: bool, dead: bool) -> Completion {
        let tdvpr = self.running(lp);
        let vcpu = self.state.world.protected.vcpus.get_mut(&tdvpr).expect("a vCPU that runs exists");
        vcpu.after_vmcall = vmcall;
        vcpu.disabled |= dead;
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
