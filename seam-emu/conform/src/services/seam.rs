//! SEAMOPS, PCONFIG and MOVDIR64B.

use super::{Cpu, ServiceFault};
use crate::sites::Site;
use iced_x86::Register;

/// Leaves of SEAMOPS. Source: TDX module 1.5.05 `ia32_accessors.h`.
mod leaf {
    pub(super) const CAPABILITIES: u64 = 0;
    pub(super) const SEAMDB_GETREF: u64 = 4;
}
/// Capabilities: all leaves up to 6. Source: TDX module 1.5.05 `tdh_sys_init.c`.
const CAPABILITIES: u64 = 0x7F;
/// Entries of the SEAM database.
const SEAMDB_ENTRIES: u64 = 64;
/// The database's nonce: any number.
const SEAMDB_NONCE: [u64; 4] = [0x1111, 0x2222, 0x3333, 0x4444];

impl Cpu<'_> {
    /// SEAMOPS. The index of the database's last entry is new with each module: the module refreshes pointers in what an
    /// earlier one left only if it is.
    pub(super) fn seamops(&mut self) -> Result<(), ServiceFault> {
        match self.registers.get(Register::RAX) {
            leaf::CAPABILITIES => self.registers.set(Register::RAX, CAPABILITIES),
            leaf::SEAMDB_GETREF => {
                self.registers.set(Register::RAX, 0);
                self.registers.set(Register::R10, self.platform.seamdb_index);
                let nonce = [Register::R11, Register::R12, Register::R13, Register::R14];
                for (register, value) in nonce.into_iter().zip(SEAMDB_NONCE) {
                    self.registers.set(register, value);
                }
                self.registers.set(Register::R15, SEAMDB_ENTRIES);
            }
            other => return Err(ServiceFault::Seamops(other)),
        }
        self.registers.set_flags(false, false);
        Ok(())
    }

    /// PCONFIG: the structure at RBX begins with the KeyID. Source: Intel SDM, `MKTME_KEY_PROGRAM_STRUCT`.
    pub(super) fn pconfig(&mut self) -> Result<(), ServiceFault> {
        let mut keyid = [0; 2];
        self.read(self.registers.get(Register::RBX), &mut keyid)?;
        let package = self.lp.number as u32 / self.platform.topology.lps_per_package;
        self.platform.keys.insert((package, u16::from_le_bytes(keyid)));
        self.registers.set(Register::RAX, 0);
        self.registers.set_flags(false, false);
        Ok(())
    }

    /// MOVDIR64B: 64 bytes of memory go to the address in a register.
    pub(super) fn movdir64b(&mut self, site: &Site) -> Result<(), ServiceFault> {
        let mut bytes = [0; 64];
        self.read(self.address(site, 1)?, &mut bytes)?;
        let target = self.value(site, 0)?;
        Ok(self.write(target, &bytes)?)
    }
}
