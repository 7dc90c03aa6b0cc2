//! What a VMM and a TD do to one another outside of leaves: posted interrupts, and memory that they share.

use crate::common::td::{SCRIPT_GPA, Td};
use crate::common::{Machine, call};
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use seam_emu::script::{Op, Script};

/// TD VMCS fields.
const PIN_BASED_CONTROLS: u64 = 0x4000;
const POSTED_DESCRIPTOR: u64 = 0x2016;
const POSTED_VECTOR: u64 = 0x0002;
const SHARED_EPT: u64 = 0x203C;

/// Where the VMM of these tests keeps what the TD's fields point to.
const DESCRIPTOR: u64 = 0x60_0040;
const TABLES: u64 = 0x61_0000;
const PAGE: u64 = 0x62_0000;
/// A shared address, and one of another page.
const SHARED: u64 = 1 << 47 | 0x4008;

fn write_field(m: &mut Machine, td: &Td, field: u64, value: u64) {
    let mask = if field == PIN_BASED_CONTROLS { value } else { u64::MAX };
    m.ok(0, Regs { rcx: td.vcpus[0], rdx: field, r8: value, r9: mask, ..call(Leaf::VpWr) });
}

fn started(script: &Script) -> (Machine, Td) {
    let mut m = Machine::new(1);
    m.boot_linux();
    let td = m.td(0, &[0], script);
    (m, td)
}

/// Posts vectors 0x40 and 0x81.
fn post(m: &mut Machine) {
    let mut descriptor = [0u8; 64];
    descriptor[0x40 / 8] = 1;
    descriptor[0x81 / 8] = 1 << 1;
    // Outstanding; suppression and the notification vector stay as they are.
    descriptor[32] = 0b11;
    descriptor[34] = 0xF2;
    m.put(DESCRIPTOR, &descriptor);
}

#[test]
fn posted_interrupts_are_taken_when_a_vcpu_is_entered() {
    let (mut m, td) = started(&Script::new().then(Op::Halt, 0, 0));
    write_field(&mut m, &td, POSTED_DESCRIPTOR, DESCRIPTOR);
    write_field(&mut m, &td, POSTED_VECTOR, 0xF2);
    write_field(&mut m, &td, PIN_BASED_CONTROLS, 1 << 7);
    post(&mut m);
    let before = m.firmware.td_digests(&m.memory);
    assert_eq!(m.enter(&td, 0, 0), 77);
    let descriptor: [u8; 64] = m.get(DESCRIPTOR);
    assert_eq!(descriptor[..32], [0; 32], "all requests are taken");
    assert_eq!((descriptor[32], descriptor[34]), (0b10, 0xF2), "only the outstanding bit is cleared");
    assert_ne!(m.firmware.td_digests(&m.memory), before);
}

#[test]
fn posted_interrupts_cannot_be_taken_without_the_control_or_the_outstanding_bit() {
    let (mut m, td) = started(&Script::new().then(Op::Halt, 0, 0));
    write_field(&mut m, &td, POSTED_DESCRIPTOR, DESCRIPTOR);
    post(&mut m);
    let posted: [u8; 64] = m.get(DESCRIPTOR);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.get::<[u8; 64]>(DESCRIPTOR), posted, "the control is off");
    write_field(&mut m, &td, POSTED_VECTOR, 0xF2);
    write_field(&mut m, &td, PIN_BASED_CONTROLS, 1 << 7);
    m.put(DESCRIPTOR + 32, &0b10u8);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.get::<u8>(DESCRIPTOR + 0x40 / 8), 1, "nothing is outstanding");
}

/// Writes 7 to a shared address.
fn sharing() -> (Machine, Td) {
    started(&Script::new().then(Op::Set, 0, 7).then(Op::Store, 0, SHARED).then(Op::Load, 1, SHARED))
}

/// Maps [`SHARED`] to [`PAGE`] with these access rights, by one table for each of four levels.
fn map(m: &mut Machine, rights: u64) {
    let indices = [3u64, 2, 1, 0].map(|level| SHARED >> (12 + 9 * level) & 0x1FF);
    for (level, index) in (0u64..).zip(indices) {
        let to = if level == 3 { PAGE | rights } else { (TABLES + (level + 1) * 0x1000) | 0b111 };
        m.put(TABLES + level * 0x1000 + index * 8, &to);
    }
}

#[test]
fn shared_memory_is_reached_through_the_vmms_tables() {
    let (mut m, td) = sharing();
    assert_eq!(m.enter(&td, 0, 0), 48, "no table yet");
    assert_eq!((m.regs.r8, m.regs.rcx), (SHARED & !0xFFF, 0b10), "a write at the shared address");
    write_field(&mut m, &td, SHARED_EPT, TABLES);
    assert_eq!(m.enter(&td, 0, 0), 48, "the tables are empty");
    map(&mut m, 0b011);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.get::<u64>(PAGE + 8), 7);
}

#[test]
fn shared_memory_cannot_be_written_where_the_vmm_allows_reading_only() {
    let (mut m, td) = sharing();
    write_field(&mut m, &td, SHARED_EPT, TABLES);
    map(&mut m, 0b001);
    assert_eq!(m.enter(&td, 0, 0), 48);
    assert_eq!(m.get::<u64>(PAGE + 8), 0);
}

#[test]
fn a_large_entry_maps_what_it_spans() {
    let (mut m, td) = sharing();
    write_field(&mut m, &td, SHARED_EPT, TABLES);
    map(&mut m, 0b011);
    // The third table's entry maps 2 MB at 0x80_0000 instead of a table.
    m.put(TABLES + 2 * 0x1000 + (SHARED >> 21 & 0x1FF) * 8, &(0x80_0000u64 | 1 << 7 | 0b111));
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.get::<u64>(0x80_0000 + (SHARED & 0x1F_FFFF)), 7);
    assert_ne!(SHARED & 0x1F_FFFF, SCRIPT_GPA);
}
