//! TD entry and exit, for the machine. No TD runs here: one that is entered leaves at once, because of an external interrupt.

use super::{Cpu, ServiceFault};
use crate::vmcs::field;
use iced_x86::Register;

/// Exit reason. Source: Intel SDM, appendix C of volume 3.
const EXTERNAL_INTERRUPT: u64 = 1;
/// Interruption information: valid, external interrupt, a vector of the VMM's.
const INTERRUPTION: u64 = 1 << 31 | 0x20;

impl Cpu<'_> {
    /// The TD whose VMCS is current was entered and leaves: exit fields are written and the host state is loaded.
    pub(crate) fn leave_td(&mut self) -> Result<(), ServiceFault> {
        let vmcs = self.vmcs()?;
        vmcs.set(field::EXIT_REASON, EXTERNAL_INTERRUPT);
        vmcs.set(field::EXIT_INTERRUPTION, INTERRUPTION);
        vmcs.set(field::EXIT_QUALIFICATION, 0);
        vmcs.set(field::INSTRUCTION_LENGTH, 0);
        let host = [
            (Register::RSP, field::HOST_RSP),
            (Register::FS, field::HOST_FS_BASE),
            (Register::GS, field::HOST_GS_BASE),
            (Register::RIP, field::HOST_RIP),
        ]
        .map(|(register, encoding)| (register, vmcs.get(encoding)));
        self.registers.set_flags(false, false);
        for (register, value) in host {
            self.registers.set(register, value);
        }
        Ok(())
    }
}
