//! A TD's virtual CPU: its TDVPS.

use super::zero_step::ZeroStep;
use crate::entry::Registers;
use crate::script::Machine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A vCPU. Source: TDX module `tdx_tdvps.h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as in the source")]
pub(crate) struct Vcpu {
    /// The TD's TDR, by physical address.
    pub(crate) tdr: u64,
    /// TDVPR and TDCX pages, by physical address.
    pub(crate) pages: Vec<u64>,
    /// TDH.VP.INIT was done.
    pub(crate) ready: bool,
    /// It is over: a fault of its own ended it.
    pub(crate) disabled: bool,
    pub(crate) index: u32,
    pub(crate) apic_id: u32,
    /// The LP that may hold the vCPU's state.
    pub(crate) lp: Option<u16>,
    /// TLB epoch in which it entered last.
    pub(crate) epoch: u64,
    /// The last exit was a TDVMCALL, whose outputs the next entry passes in.
    pub(crate) after_vmcall: bool,
    /// An interrupt waits that the vCPU would take if it were not in the way of others (RVI > PPR). A script takes all when it
    /// is entered.
    pub(crate) interrupt_waits: bool,
    /// Where the registers of a vCPU lie that runs machine code.
    pub(crate) registers: Registers,
    /// `PEND_NMI`: a non-maskable interrupt waits unless this is 0.
    pub(crate) pend_nmi: u8,
    /// TD VMCS fields that the VMM wrote, by encoding.
    pub(crate) vmcs: BTreeMap<u32, u64>,
    /// Its violations at one instruction.
    pub(crate) zero_step: ZeroStep,
    /// What it executes; none before it is entered.
    pub(crate) engine: Option<Engine>,
    /// The scripted TD's registers.
    pub(crate) machine: Machine,
}

/// What a vCPU executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Engine {
    /// A script ([`crate::script`]).
    Script,
    /// Machine code, on a processor that is not the model's.
    Code,
}

impl Vcpu {
    /// As TDH.VP.CREATE leaves it.
    pub(crate) fn new(tdr: u64, tdvpr: u64) -> Self {
        Self {
            tdr,
            pages: vec![tdvpr],
            ready: false,
            disabled: false,
            index: 0,
            apic_id: 0,
            lp: None,
            epoch: 0,
            after_vmcall: false,
            interrupt_waits: false,
            registers: Registers::default(),
            pend_nmi: 0,
            vmcs: BTreeMap::new(),
            zero_step: ZeroStep::default(),
            engine: None,
            machine: Machine::default(),
        }
    }
}
