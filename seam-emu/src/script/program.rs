//! The form of a script.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian as le};

/// First 16 bytes of a script.
pub const MAGIC: [u8; 16] = *b"SEAM-EMU SCRIPT\0";

/// What an instruction does. `r` is its register, `i` its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// Ends: TDVMCALL HLT again and again.
    End = 0,
    /// `r = i`.
    Set = 1,
    /// `r += i`.
    Add = 2,
    /// `r` = the 8 bytes at private address `i`.
    Load = 3,
    /// The 8 bytes at private address `i` = `r`.
    Store = 4,
    /// Chain = SHA-384(chain, the 4096 bytes at private address `i`).
    Hash = 5,
    /// Continues at instruction number `i`.
    Jump = 6,
    /// `r -= 1`, and continues at instruction number `i` unless `r` is 0.
    Loop = 7,
    /// Accepts the page at private address `i` (TDG.MEM.PAGE.ACCEPT), which becomes zero; bits 2:0 are its level (0: 4 KB,
    /// 1: 2 MB). An accepted page stays. While the VMM works on the entry it is tried again; any other failure's status becomes
    /// `r`.
    Accept = 8,
    /// TDVMCALL HLT: waits for an interrupt.
    Halt = 9,
    /// TDVMCALL IO: writes the byte in `r` to port `i`.
    Out = 10,
    /// TDVMCALL `MapGPA`: asks the VMM to make `r` bytes from address `i` shared or private.
    MapGpa = 11,
    /// `r` = the vCPU's number.
    Index = 12,
    /// The 48 bytes at private address `i` = chain.
    StoreChain = 13,
    /// TDVMCALL with subfunction `i` and R12 to R15 from registers 4 to 7; its status (R10) becomes `r`.
    Vmcall = 14,
}

impl Op {
    /// All operations, by number.
    pub(crate) const ALL: [Self; 15] = [
        Self::End,
        Self::Set,
        Self::Add,
        Self::Load,
        Self::Store,
        Self::Hash,
        Self::Jump,
        Self::Loop,
        Self::Accept,
        Self::Halt,
        Self::Out,
        Self::MapGpa,
        Self::Index,
        Self::StoreChain,
        Self::Vmcall,
    ];
}

/// An instruction in memory, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Instruction {
    /// Number of an [`Op`]; any other ends the script.
    pub op: le::U16,
    /// Register, 0 to 7; higher bits are ignored.
    pub register: le::U16,
    /// Zero.
    pub reserved: le::U32,
    /// Value, address or instruction number.
    pub value: le::U64,
}

/// A script being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(Vec<Instruction>);

impl Script {
    /// An empty script, which ends at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an instruction.
    #[must_use]
    pub fn then(mut self, op: Op, register: u16, value: u64) -> Self {
        self.0.push(Instruction {
            op: (op as u16).into(),
            register: register.into(),
            reserved: 0.into(),
            value: value.into(),
        });
        self
    }

    /// Number of the next instruction, to jump to.
    pub fn here(&self) -> u64 {
        self.0.len() as u64
    }

    /// Its bytes, filled with zeros (that is, [`Op::End`]) to whole pages.
    pub fn to_pages(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.0.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        bytes
    }
}
