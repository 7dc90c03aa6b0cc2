//! From what the firmware answers to what is recorded of it.

use rig_wire::event::{Kind, flags};
use seam_emu::{Completion, Note, Outcome};

/// A leaf number without its version bits: RAX with bit 63 and bits 15:0.
pub fn leaf(rax: u64) -> u64 {
    rax & (1 << 63 | 0xffff)
}

/// Flags of the exit record of a SEAMCALL, given those of its entry.
pub fn exit_flags(context: u32, completion: &Completion) -> u32 {
    let outcome = match completion.outcome {
        Outcome::Return => 0,
        Outcome::VmFailInvalid => flags::VMFAIL_INVALID,
        Outcome::Ud => flags::UD,
        Outcome::Gp => flags::GP,
    };
    let bit = |on: bool, flag: u32| if on { flag } else { 0 };
    context
        | outcome
        | bit(completion.by_fault, flags::FAULT)
        | bit(completion.unmodelled, flags::UNMODELLED)
        | bit(completion.contended, flags::CONTENDED)
}

/// Kinds and fields of the records for what the firmware noted while it served the call with this RAX.
pub fn of_notes(rax: u64, notes: Vec<Note>) -> impl Iterator<Item = (Kind, [u64; 4])> {
    let when = match leaf(rax) {
        52 => 1,
        53 => 2,
        _ => 3,
    };
    notes.into_iter().filter_map(move |note| match note {
        Note::ModuleState { old, new } => Some((Kind::ModuleState, [old, new, 0, 0])),
        Note::TdDigest { tdr, digest } => {
            let head = u64::from_be_bytes(digest[..8].try_into().expect("a digest of 48 bytes"));
            Some((Kind::TdDigest, [tdr, head, when, 0]))
        }
        // The exit record of the call carries the flag.
        Note::UnmodelledLeaf { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_says_how_it_came() {
        let completion = Completion { by_fault: true, ..Completion::plain(Outcome::VmFailInvalid) };
        assert_eq!(exit_flags(flags::IF, &completion), flags::IF | flags::VMFAIL_INVALID | flags::FAULT);
        assert_eq!(exit_flags(0, &Completion::plain(Outcome::Return)), 0);
    }

    #[test]
    fn digests_say_when_they_were_taken() {
        let note = || vec![Note::TdDigest { tdr: 7, digest: [1; 48] }];
        let when = |rax| of_notes(rax, note()).next().unwrap().1[2];
        assert_eq!((when(52), when(0x1_0035), when(10)), (1, 2, 3));
    }

    #[test]
    fn the_version_is_no_part_of_the_leaf() {
        assert_eq!(leaf(1 << 63 | 1 << 16 | 1), 1 << 63 | 1);
    }
}
