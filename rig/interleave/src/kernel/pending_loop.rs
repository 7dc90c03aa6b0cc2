//! The queued spin lock's `_Q_PENDING_LOOPS`: before it queues, a CPU reads the lock's word up to 512 times while another is
//! about to take it. The count multiplies states by 512 and makes no difference to any order, so it is set to 1.
//!
//! Why every order of the unmodified code is still explored: all reads of the loop but the last find the same value and change
//! nothing but the count, which is dead behind the loop. Leave out all but the last two of them: the CPU is then delayed by as
//! much as those reads took, and every other operation is where it was. What is left is an execution of the changed code. And
//! the other way round: of an execution of the changed code that leaves the loop by its count, make 511 more reads at the moment
//! of the first, which find what it found. So both reach the same states of everything but the count.

use crate::image::{Memory, Source};

const FUNCTION: &str = "queued_spin_lock_slowpath";
/// `mov r32, 512`: an opcode from 0xb8 to 0xbf, and the number.
const LOOPS: [u8; 4] = 512_u32.to_le_bytes();

/// What a certificate says of it.
pub(super) const ARGUMENT: &str = "the lock's loop that reads one word up to 512 times before it queues reads it up to twice: reading the same value again changes nothing, and the count is dead behind the loop";

/// Changes the count, if the function has exactly one. Returns whether it did.
pub(super) fn shorten<S: Source>(memory: &mut Memory<S>) -> bool {
    let Ok((start, size)) = memory.source().symbols().extent(FUNCTION) else { return false };
    let code = memory.source().gather(start, size as usize);
    let is_count = |window: &[u8]| (0xb8..=0xbf).contains(&window[0]) && window[1..] == LOOPS;
    let places: Vec<usize> = (0..code.len().saturating_sub(4)).filter(|at| is_count(&code[*at..*at + 5])).collect();
    let [place] = places[..] else { return false };
    memory.patch_code(start + place as u64 + 1, &1_u32.to_le_bytes());
    true
}
