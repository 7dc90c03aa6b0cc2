//! A log of single instructions: each with the registers before it and its accesses to memory. The emulator writes it where the
//! plan asks for it, and tests compare another interpreter of instructions with it.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};

/// Registers of an LP in the log: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15, and behind these the next two.
pub const LOGGED_REGISTERS: usize = 18;
/// The place of RFLAGS among them.
pub const LOGGED_RFLAGS: usize = 16;
/// The place of the GS base among them.
pub const LOGGED_GS_BASE: usize = 17;

/// What the log says. It is written in the order in which things happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Logged {
    /// The code at this address, before an LP executes it for the first time, or again after it was written to.
    Code {
        /// Guest virtual address.
        pc: u64,
        /// One instruction.
        bytes: Vec<u8>,
    },
    /// An LP is about to execute an instruction.
    Instruction {
        /// Which LP.
        lp: u16,
        /// Guest virtual address.
        pc: u64,
        /// Registers, by their places, that are not as they were before the LP's last instruction in the log; all of them before
        /// the first instruction of the function that the log begins with.
        registers: Vec<(u8, u64)>,
    },
    /// The LP's instruction touched memory.
    Touched {
        /// Which LP.
        lp: u16,
        /// Guest virtual address.
        address: u64,
        /// Bytes.
        size: u8,
        /// It wrote.
        store: bool,
        /// What it read or wrote.
        value: u64,
    },
    /// An interrupt or exception takes the LP elsewhere.
    Interrupted {
        /// Which LP.
        lp: u16,
        /// The instruction that would have been next.
        from: u64,
    },
}

impl Logged {
    /// Appends it to a log: its length in one byte, then as many bytes of postcard.
    pub fn write(&self, log: &mut impl Write) -> io::Result<()> {
        let bytes = postcard::to_stdvec(self).map_err(io::Error::other)?;
        let length = u8::try_from(bytes.len()).map_err(io::Error::other)?;
        log.write_all(&[length])?;
        log.write_all(&bytes)
    }

    /// Reads the next one; none at the log's end.
    pub fn read(log: &mut impl BufRead) -> io::Result<Option<Self>> {
        if log.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0];
        log.read_exact(&mut length)?;
        let mut bytes = vec![0; length[0].into()];
        log.read_exact(&mut bytes)?;
        postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let registers = (0..LOGGED_REGISTERS as u8).map(|number| (number, u64::MAX)).collect();
        let all = [
            Logged::Code { pc: 0xffff_ffff_8100_0000, bytes: vec![0x90] },
            Logged::Instruction { lp: 511, pc: u64::MAX, registers },
            Logged::Touched { lp: 1, address: 8, size: 4, store: true, value: 7 },
            Logged::Interrupted { lp: 0, from: 9 },
        ];
        let mut log = Vec::new();
        for one in &all {
            one.write(&mut log).unwrap();
        }
        let mut rest = log.as_slice();
        let read: Vec<Logged> = std::iter::from_fn(|| Logged::read(&mut rest).unwrap()).collect();
        assert_eq!(read, all);
    }

    #[test]
    fn a_log_that_ends_early_is_an_error() {
        let mut log = Vec::new();
        Logged::Interrupted { lp: 0, from: 9 }.write(&mut log).unwrap();
        log.pop();
        assert!(Logged::read(&mut log.as_slice()).is_err());
    }
}
