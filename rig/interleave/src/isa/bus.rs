//! What an instruction does outside of the registers.

/// One access to memory.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Its address.
    pub address: u64,
    /// Bytes, 1 to 8.
    pub size: u8,
    /// Whether it is a part of a locked instruction.
    pub locked: bool,
    /// RSP at that moment: what lies below it is dead.
    pub stack_pointer: u64,
}

/// Memory as one CPU sees it. An error ends the instruction, whose effects are then to be thrown away.
pub trait Bus {
    /// Why an instruction does not go on.
    type Stop;
    /// Reads.
    fn load(&mut self, access: Access) -> Result<u64, Self::Stop>;
    /// Writes the lower bytes of `value`.
    fn store(&mut self, access: Access, value: u64) -> Result<(), Self::Stop>;
}

/// Where execution goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At this address.
    At(u64),
    /// The instruction is SEAMCALL, which is the caller's to do.
    Seamcall,
    /// UD2: the kernel's way to warn, and to die.
    Undefined,
    /// The interpreter does not know the instruction or this form of it.
    Unknown,
}
