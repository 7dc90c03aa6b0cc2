//! A program of a few bytes, as an ELF file: memory for code and data at known addresses, and nothing that happens by itself.

use super::case::{CODE, DATA, DATA_SIZE};

const HEADER: u64 = 64;
const SEGMENT: u64 = 56;
/// Where the file is mapped, and the code in it.
const BASE: u64 = CODE - 0x1000;
const PAGE: u64 = 0x1000;
/// l: mov eax, 34 (pause); syscall; jmp l
const WAIT: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

/// The file. Layout: the ELF-64 object file format, version 1.5.
pub(super) fn elf() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An executable, for x86-64, version 1.
    half(&mut file, [2, 62]);
    word(&mut file, [1]);
    // Entry, program headers, no section headers.
    wide(&mut file, [CODE, HEADER, 0]);
    word(&mut file, [0]);
    half(&mut file, [HEADER as u16, SEGMENT as u16, 2, 64, 0, 0]);
    // The file itself, to be read, written and executed; and memory for data.
    segment(&mut file, 7, [0, BASE, BASE, PAGE + WAIT.len() as u64, 2 * PAGE]);
    segment(&mut file, 6, [0, DATA, DATA, 0, (DATA_SIZE as u64).next_multiple_of(PAGE)]);
    file.resize(PAGE as usize, 0);
    file.extend(WAIT);
    file
}

/// Offset, addresses, and sizes in the file and in memory.
fn segment(file: &mut Vec<u8>, flags: u32, place: [u64; 5]) {
    word(file, [1, flags]);
    wide(file, place);
    wide(file, [PAGE]);
}

fn half<const N: usize>(file: &mut Vec<u8>, values: [u16; N]) {
    for value in values {
        file.extend(value.to_le_bytes());
    }
}

fn word<const N: usize>(file: &mut Vec<u8>, values: [u32; N]) {
    for value in values {
        file.extend(value.to_le_bytes());
    }
}

fn wide<const N: usize>(file: &mut Vec<u8>, values: [u64; N]) {
    for value in values {
        file.extend(value.to_le_bytes());
    }
}
