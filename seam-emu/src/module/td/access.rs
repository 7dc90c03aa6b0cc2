//! Checks that TD leaves share: of TDs and vCPUs.

use super::measure::{CONTEXT_VERSION, NO_CONTEXT};
use super::sept::Walked;
use super::vcpu::Vcpu;
use super::{Lifecycle, OpState, Td, ops};
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::protected::PageType;

/// States of a vCPU.
const VCPU_UNINITIALIZED: u64 = 0;
const VCPU_READY: u64 = 2;
const VCPU_DISABLED: u64 = 8;

impl Context<'_> {
    /// Checks and locks a TD by its TDR.
    pub(crate) fn lock_td(&mut self, alleged: u64, operand: Operand, mode: Mode) -> Result<u64, Status> {
        self.lock_page(alleged, operand, mode, PageType::Tdr)
    }

    /// A number for translations of a TD that begin anew; 0 where no TD runs machine code, so that nobody keeps translations.
    pub(crate) fn new_translations(&mut self) -> u64 {
        if self.config.machine_code { self.world.protected.new_translations() } else { 0 }
    }

    /// The TD of a TDR that was checked.
    pub(crate) fn td(&mut self, tdr: u64) -> &mut Td {
        self.world.protected.tds.get_mut(&tdr).expect("a TDR page holds a TD")
    }

    /// RCX and RDX that tell about an entry of a secure EPT.
    pub(crate) fn details(&self, walked: Walked) -> (u64, u64) {
        let module = self.world.module.as_ref().expect("a module answers");
        walked.details(module.identity.figures().sept_permissions)
    }

    /// Whether the TD's keys, its TDCS and its operation state admit the leaf. With a mode, locks the operation state.
    /// Source: TDX module `check_state_map_tdcs_and_lock`.
    pub(crate) fn check_td(&mut self, tdr: u64, leaf: Leaf, mode: Option<Mode>) -> Outcome {
        let needed = usize::from(self.module().identity.descriptor.tdcs_pages);
        let td = self.td(tdr);
        if td.lifecycle != Lifecycle::KeysConfigured {
            return Err(Status::TD_KEYS_NOT_CONFIGURED);
        }
        if td.tdcs_pages.len() < needed {
            return Err(Status::TDCS_NOT_ALLOCATED);
        }
        let state = td.op_state;
        if let Some(mode) = mode {
            self.lock(LockId::OpState(tdr), mode, Status::OPERAND_BUSY.operand(Operand::OpState))?;
        }
        if ops::allows(leaf, state) { Ok(()) } else { Err(self.op_state_incorrect(state)) }
    }

    /// `OP_STATE_INCORRECT`, with the state where the module's generation tells it.
    fn op_state_incorrect(&mut self, state: OpState) -> Status {
        let told = self.module().identity.figures().op_state_in_status;
        Status(Status::OP_STATE_INCORRECT.0 | if told { state as u64 } else { 0 })
    }

    /// `VCPU_STATE_INCORRECT`, with the vCPU's state where the module's generation tells it. Source of the states: TDX module
    /// `tdx_tdvps.h`.
    pub(crate) fn vcpu_state_incorrect(&mut self, tdvpr: u64) -> Status {
        let told = self.module().identity.figures().vcpu_state_in_status;
        let state = match self.vcpu(tdvpr) {
            Vcpu { disabled: true, .. } => VCPU_DISABLED,
            Vcpu { ready: true, .. } => VCPU_READY,
            _ => VCPU_UNINITIALIZED,
        };
        Status(Status::VCPU_STATE_INCORRECT.0 | if told { state } else { 0 })
    }

    /// Whether the TD may be measured on by this module: UPDATE may have asked that only a measurement goes on that this form
    /// of module began. Source: 1.5.28 `tdh_mr_finalize.c`; that TDH.MEM.PAGE.ADD and TDH.MR.EXTEND ask was seen in a run of
    /// 1.5.25, and where they do is unverified.
    pub(crate) fn check_mrtd_context(&mut self, tdr: u64) -> Outcome {
        let wanted = self.module().update_compatibility;
        if wanted && self.td(tdr).mrtd_context != CONTEXT_VERSION {
            return Err(Status::INCOMPATIBLE_MRTD_CONTEXT);
        }
        Ok(())
    }

    /// Ends a measurement as far as the count of TDs under construction goes.
    pub(crate) fn end_build(&mut self, tdr: u64) {
        if !self.module().identity.counts_builds() {
            return;
        }
        if std::mem::replace(&mut self.td(tdr).mrtd_context, NO_CONTEXT) != NO_CONTEXT {
            self.module().td_build_count -= 1;
        }
    }

    /// Checks and locks a vCPU by its TDVPR, and its TD, shared. Gives both addresses.
    pub(crate) fn lock_vcpu(&mut self, alleged: u64, operand: Operand, mode: Mode) -> Result<(u64, u64), Status> {
        self.lock_vcpu_and_td(alleged, operand, mode, Mode::Shared)
    }

    /// As [`Self::lock_vcpu`], with the way in which the TD is locked.
    pub(crate) fn lock_vcpu_and_td(
        &mut self,
        alleged: u64,
        operand: Operand,
        mode: Mode,
        tdr_mode: Mode,
    ) -> Result<(u64, u64), Status> {
        let tdvpr = self.lock_page(alleged, operand, mode, PageType::Tdvpr)?;
        let tdr = self.vcpu(tdvpr).tdr;
        self.lock(LockId::Pamt(tdr), tdr_mode, Status::OPERAND_BUSY.operand(Operand::Tdr))?;
        Ok((tdvpr, tdr))
    }

    /// The vCPU of a TDVPR that was checked.
    pub(crate) fn vcpu(&mut self, tdvpr: u64) -> &mut Vcpu {
        self.world.protected.vcpus.get_mut(&tdvpr).expect("a TDVPR page holds a vCPU")
    }

    /// Whether the vCPU has all its pages.
    pub(crate) fn check_tdvps(&mut self, tdvpr: u64) -> Outcome {
        let needed = usize::from(self.module().identity.descriptor.tdvps_pages);
        let complete = self.vcpu(tdvpr).pages.len() >= needed;
        if complete { Ok(()) } else { Err(Status::TDCX_NUM_INCORRECT) }
    }

    /// The vCPU must be ready, or with `allow_disabled` disabled, and be on this LP or on none, which makes it this one's.
    /// Source: TDX module `check_and_associate_vcpu`.
    pub(crate) fn check_and_associate(&mut self, tdvpr: u64, allow_disabled: bool) -> Outcome {
        let vcpu = self.vcpu(tdvpr);
        if !vcpu.ready || (vcpu.disabled && !allow_disabled) {
            return Err(self.vcpu_state_incorrect(tdvpr));
        }
        self.associate(tdvpr)?;
        Ok(())
    }

    /// Associates the vCPU with the LP; true if it was with none. Source: TDX module `associate_vcpu`.
    pub(crate) fn associate(&mut self, tdvpr: u64) -> Result<bool, Status> {
        let lp = self.lp as u16;
        let vcpu = self.vcpu(tdvpr);
        let fresh = match vcpu.lp {
            None => true,
            Some(same) if same == lp => false,
            Some(_) => {
                self.contended = true;
                return Err(Status::VCPU_ASSOCIATED);
            }
        };
        vcpu.lp = Some(lp);
        let tdr = vcpu.tdr;
        self.td(tdr).associated_vcpus += u32::from(fresh);
        Ok(fresh)
    }
}
