//! Registers of a scripted vCPU.

use serde::{Deserialize, Serialize};

/// Registers of a scripted vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Where the script begins.
    pub(super) base: u64,
    /// Number of the next instruction.
    pub(super) position: u64,
    pub(super) registers: [u64; 8],
    /// Hash chain.
    #[serde(with = "hex::serde")]
    pub(super) chain: [u8; 48],
    pub(super) index: u32,
    /// Register that gets the status of the TDVMCALL under way.
    pub(super) status_to: Option<u8>,
    /// Interrupts taken: the script has none of its handlers, so they only count, and wake it.
    pub(super) interrupts: u64,
    /// Instructions executed, for diagnosis and as a sign of progress.
    pub(super) executed: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            base: 0,
            position: 0,
            registers: [0; 8],
            chain: [0; 48],
            index: 0,
            status_to: None,
            interrupts: 0,
            executed: 0,
        }
    }
}

impl Machine {
    /// Begins the script at an address.
    pub(crate) fn start(&mut self, base: u64, index: u32) {
        *self = Self { base, index, ..Self::default() };
    }

    /// Number of the next instruction.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Where the script begins: the vCPU's initial RCX.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Takes the outputs of a TDVMCALL: R10 to R15.
    pub(crate) fn finish_vmcall(&mut self, outputs: [u64; 6]) {
        if let Some(register) = self.status_to.take() {
            self.registers[usize::from(register)] = outputs[0];
        }
    }

    /// Takes interrupts that were posted.
    pub(crate) fn interrupt(&mut self, number: u32) {
        self.interrupts += u64::from(number);
    }
}
