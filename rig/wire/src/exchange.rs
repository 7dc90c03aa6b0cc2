//! The agent's way to the rig on a deterministic machine, which must not be touched from outside while it runs: an
//! instruction that does nothing elsewhere, and at which the emulator stands in for a device.
//!
//! The instruction is `nopl DISP(%rax,%rax,1)` with the letters `SEAM` as its displacement. RAX holds the function, RDI the
//! address of a buffer, RSI its length in bytes; RAX returns the answer. The machine stands still from the instruction to its
//! end, so that nothing in the guest can measure how long the rig took to answer: what the rig says enters the machine
//! between two instructions, and the run depends on the words alone.

/// The instruction's bytes.
pub const INSTRUCTION: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, b'S', b'E', b'A', b'M'];

/// Is anybody there? Answers [`HERE`]; elsewhere RAX stays as it was.
pub const HELLO: u64 = 0x5EA1_0100;
/// Hands the buffer's bytes to the rig. Answers their number, or [`FAULT`].
pub const SEND: u64 = 0x5EA1_0101;
/// Fills the whole buffer with what the rig says next. Answers its length, 0 when the rig is gone, [`FAULT`] or [`AGAIN`].
pub const RECEIVE: u64 = 0x5EA1_0102;

/// The answer to [`HELLO`].
pub const HERE: u64 = 0x5EA1_01FF;
/// The buffer is not mapped: touch it and ask again.
pub const FAULT: u64 = u64::MAX;
/// There is nothing now, and the machine goes on, because it is about to be saved: ask again later.
pub const AGAIN: u64 = u64::MAX - 1;

/// Most bytes of one [`SEND`] or [`RECEIVE`].
pub const MAX_TRANSFER: usize = 64 << 10;
