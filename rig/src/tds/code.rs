//! The program of trust domains that run machine code: `rig/guest-td`, which `build.rs` builds.

use object::{Object, ObjectSegment};
use rig_wire::td::TdPage;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest-td.elf"));
const PAGE: u64 = 4096;

/// What a vCPU of it checks, by bit of the word that it says behind its chain (`rig/guest-td/checks.rs`).
const CHECKS: [&str; 11] = [
    "TDG.VP.INFO",
    "CPUID of the module",
    "CPUID of the VMM, by #VE",
    "RDMSR by #VE",
    "an MSR of its own",
    "an interrupt sent by itself through the module",
    "an interrupt sent by itself through the VMM",
    "being woken by interrupts",
    "the time-stamp counter",
    "TSC_AUX",
    "pages accepted once",
];
/// The word when all are met.
pub(super) const ALL_MET: u64 = (1 << CHECKS.len()) - 1;

/// Names of the checks that were not met; none if all were.
pub(super) fn unmet(word: u64) -> Option<String> {
    let names: Vec<_> = (0..).zip(CHECKS).filter(|(bit, _)| word >> bit & 1 == 0).map(|(_, name)| name).collect();
    (word != ALL_MET).then(|| if names.is_empty() { format!("unknown ones, {word:#x}") } else { names.join(", ") })
}

/// Its pages in a TD's initial memory.
pub(super) fn pages() -> Vec<TdPage> {
    // Aligned, as the parser wants it.
    let program = PROGRAM.to_vec();
    let file = object::File::parse(program.as_slice()).expect("the linker writes ELF files");
    let pages_of = |segment: object::Segment<'_, '_>| {
        let data = segment.data().expect("a segment's bytes are in the file").to_vec();
        let (first, size) = (segment.address(), segment.size());
        assert!(first.is_multiple_of(PAGE), "the linker script aligns {first:#x}");
        (0..size.div_ceil(PAGE)).map(move |number| {
            let mut bytes: Vec<u8> = data.iter().copied().skip((number * PAGE) as usize).take(PAGE as usize).collect();
            bytes.resize(PAGE as usize, 0);
            TdPage { gpa: first + number * PAGE, bytes }
        })
    };
    file.segments().flat_map(pages_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::td::RESET_PAGE;

    #[test]
    fn the_program_begins_in_the_last_16_bytes_below_four_gigabytes() {
        let pages = pages();
        let reset = pages.iter().find(|page| page.gpa == RESET_PAGE).expect("the page in which a TD begins");
        assert_eq!(reset.bytes[0xFF0], 0xB8, "movl $, %eax");
        let to = u32::from_le_bytes(reset.bytes[0xFF1..0xFF5].try_into().unwrap());
        assert!(pages.iter().any(|page| page.gpa == u64::from(to) & !0xFFF), "{to:#x} is in the program");
        assert_eq!(reset.bytes[0xFF5..0xFF7], [0xFF, 0xE0], "jmp *%eax");
    }

    #[test]
    fn checks_that_were_not_met_are_named() {
        assert_eq!(unmet(ALL_MET), None);
        assert_eq!(unmet(ALL_MET & !0b1_0000_0001).as_deref(), Some("TDG.VP.INFO, the time-stamp counter"));
        assert_eq!(unmet(ALL_MET | 1 << 11).as_deref(), Some("unknown ones, 0xfff"));
    }
}
