//! Scripted TDs, instruction by instruction.

use crate::common::td::{SCRIPT_GPA, Td};
use crate::common::{Machine, call};
use seam_emu::abi::Leaf;
use seam_emu::image::ImageSpec;
use seam_emu::script::{Instruction, Op, Script};
use seam_emu::{Config, GuestMemory, Regs};
use sha2::{Digest, Sha384};
use zerocopy::IntoBytes;

/// Exit reasons.
const INTERRUPT: u64 = 1;
const VIOLATION: u64 = 48;
const VMCALL: u64 = 77;

/// A TD of two vCPUs with data pages at 0x8000 (accepted) and 0x9000 (pending), before its first entry.
fn td(script: &Script) -> (Machine, Td) {
    let mut m = Machine::with(Config { script_steps: 100, ..Config::for_lps(2) }, &ImageSpec::default());
    m.boot_linux();
    let accepting = Script::new().then(Op::Accept, 0, 0x8000);
    let all = script.to_pages()[16..].chunks_exact(16).fold(accepting, |script, bytes| {
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let op = OPS[usize::from(word(0))];
        script.then(op, word(2), u64::from_le_bytes(bytes[8..].try_into().expect("8 bytes")))
    });
    let mut td = m.td(0, &[0, 1], &all);
    for gpa in [0x8000, 0x9000] {
        m.ok(0, Regs { rcx: gpa, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemPageAug) });
    }
    (m, td)
}

const OPS: [Op; 15] = [
    Op::End,
    Op::Set,
    Op::Add,
    Op::Load,
    Op::Store,
    Op::Hash,
    Op::Jump,
    Op::Loop,
    Op::Accept,
    Op::Halt,
    Op::Out,
    Op::MapGpa,
    Op::Index,
    Op::StoreChain,
    Op::Vmcall,
];

/// The page at 0x8000.
fn page(m: &Machine, td: &Td) -> [u64; 512] {
    let pages: Vec<u64> = td.pages().collect();
    m.get(pages[pages.len() - 2])
}

/// A TDVMCALL's operands R10 to R15, and that nothing else is told.
fn vmcall(m: &mut Machine, td: &Td, vcpu: usize) -> [u64; 6] {
    assert_eq!(m.enter(td, vcpu, vcpu), VMCALL);
    let r = m.regs;
    assert_eq!((r.rcx, r.rdx, r.r8, r.r9, r.rbx, r.rsi, r.rdi), (0xFC00, 0, 0, 0, 0, 0, 0));
    [r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]
}

const HALTED: [u64; 6] = [0, 12, 0, 0, 0, 0];

#[test]
fn registers_can_be_set_added_stored_and_loaded() {
    let script = Script::new()
        .then(Op::Set, 1, 40)
        .then(Op::Add, 1, 2)
        .then(Op::Store, 1, 0x8010)
        .then(Op::Set, 2, u64::MAX)
        .then(Op::Add, 2, 3)
        .then(Op::Store, 2, 0x8018)
        .then(Op::Load, 3, 0x8010)
        .then(Op::Store, 3, 0x8027)
        .then(Op::Store, 9, 0x8028)
        .then(Op::Halt, 0, 0);
    let (mut m, td) = td(&script);
    assert_eq!(vmcall(&mut m, &td, 0), HALTED);
    let words = page(&m, &td);
    assert_eq!(words[2..6], [42, 2, 42, 42], "sums wrap, addresses are cut to 8 bytes, registers to 3 bits");
    assert_eq!(words[0..2], [0, 0]);
    assert_eq!(vmcall(&mut m, &td, 0), HALTED, "behind the last instruction it halts");
    assert_eq!(vmcall(&mut m, &td, 0), HALTED, "for good");
}

#[test]
fn loops_count_and_jumps_jump() {
    let script = Script::new()
        .then(Op::Set, 0, 5)
        .then(Op::Add, 1, 1)
        .then(Op::Loop, 0, 2)
        .then(Op::Store, 1, 0x8000)
        .then(Op::Jump, 0, 7)
        .then(Op::Store, 0, 0x8000)
        .then(Op::Index, 2, 0)
        .then(Op::Store, 2, 0x8008)
        .then(Op::Halt, 0, 0);
    let (mut m, td) = td(&script);
    assert_eq!(vmcall(&mut m, &td, 0), HALTED);
    assert_eq!(page(&m, &td)[..2], [5, 0]);
    // The second vCPU finds the page accepted, which it may accept again.
    assert_eq!(vmcall(&mut m, &td, 1), HALTED);
    assert_eq!(page(&m, &td)[..2], [5, 1], "its number");
}

#[test]
fn a_slice_has_so_many_instructions() {
    let script = Script::new().then(Op::Add, 0, 1).then(Op::Store, 0, 0x8000).then(Op::Jump, 0, 1);
    let (mut m, td) = td(&script);
    // 100 instructions: one accepts, 33 rounds of three.
    for rounds in [33, 66, 100] {
        assert_eq!(m.enter(&td, 0, 0), INTERRUPT);
        let r = m.regs;
        assert_eq!((r.rcx, r.rdx, r.r8, r.r9), (0, 0, 0, 1 << 31 | 0xFD));
        assert_eq!((r.r10, r.r11, r.r12, r.r13, r.r14, r.r15), (0, 0, 0, 0, 0, 0));
        assert_eq!(page(&m, &td)[0], rounds);
    }
}

#[test]
fn the_chain_hashes_pages_and_can_be_stored() {
    let script = Script::new()
        .then(Op::Set, 1, 7)
        .then(Op::Store, 1, 0x8100)
        .then(Op::Hash, 0, 0x8123)
        .then(Op::StoreChain, 0, 0x8059)
        .then(Op::Hash, 0, 0x8000)
        .then(Op::StoreChain, 0, 0x8080)
        .then(Op::Halt, 0, 0);
    let (mut m, td) = td(&script);
    assert_eq!(vmcall(&mut m, &td, 0), HALTED);
    let mut expected = [0u8; 4096];
    expected[0x100] = 7;
    let first = Sha384::new().chain_update([0; 48]).chain_update(expected).finalize();
    expected[0x40..0x70].copy_from_slice(&first);
    let second = Sha384::new().chain_update(first).chain_update(expected).finalize();
    expected[0x80..0xB0].copy_from_slice(&second);
    assert_eq!(page(&m, &td).as_bytes(), expected);
}

#[test]
fn calls_pass_operands_out_and_a_status_in() {
    let script = Script::new()
        .then(Op::Set, 3, 0x123)
        .then(Op::Out, 3, 0xF_03F8)
        .then(Op::MapGpa, 3, 0x4000_0000)
        .then(Op::Store, 3, 0x8000)
        .then(Op::Set, 4, 14)
        .then(Op::Set, 5, 15)
        .then(Op::Set, 6, 16)
        .then(Op::Set, 7, 17)
        .then(Op::Vmcall, 7, 0x1_0003)
        .then(Op::Store, 7, 0x8008)
        .then(Op::Halt, 3, 0)
        .then(Op::Store, 3, 0x8010)
        .then(Op::Halt, 0, 0);
    let (mut m, td) = td(&script);
    let enter = |m: &mut Machine, r10: u64| {
        let rcx = td.vcpus[0];
        m.call(0, Regs { rcx, r10, r11: 1, r12: 2, r13: 3, r14: 4, r15: 5, ..call(Leaf::VpEnter) });
        let r = m.regs;
        (r.rax, [r.r10, r.r11, r.r12, r.r13, r.r14, r.r15])
    };
    assert_eq!(enter(&mut m, 0), (VMCALL, [0, 30, 1, 1, 0x3F8, 0x23]));
    assert_eq!(enter(&mut m, 99), (VMCALL, [0, 0x1_0001, 0x4000_0000, 0x123, 0, 0]), "OUT takes no status");
    assert_eq!(enter(&mut m, 5), (VMCALL, [0, 0x1_0003, 14, 15, 16, 17]));
    assert_eq!(enter(&mut m, 6), (VMCALL, HALTED));
    assert_eq!(enter(&mut m, 7), (VMCALL, HALTED));
    assert_eq!(page(&m, &td)[..3], [5, 6, 5], "each register has its own call's status");
}

#[test]
fn a_td_waits_where_it_cannot_reach() {
    for (op, gpa, write, pending) in [
        (Op::Load, 0x9008, false, true),
        (Op::Store, 0x9008, true, true),
        (Op::Hash, 0x9008, false, true),
        (Op::StoreChain, 0x9008, true, true),
        (Op::Load, 0xA008, false, false),
        (Op::Store, 0xA008, true, false),
        (Op::Accept, 0xA000, true, false),
        (Op::Load, 1 << 30, false, false),
        (Op::Accept, 1 << 30, true, false),
        (Op::Load, u64::MAX, false, false),
    ] {
        let (mut m, td) = td(&Script::new().then(op, 0, gpa).then(Op::Halt, 0, 0));
        for _ in 0..2 {
            assert_eq!(m.enter(&td, 0, 0), VIOLATION, "{op:?}");
            // TDG.MEM.PAGE.ACCEPT tells at which level it found what: here nothing, at level 0 or 2.
            let details = match (op, gpa >> 30) {
                (Op::Accept, 0) => 1,
                (Op::Accept, _) => 1 | 2 << (3 + 32),
                _ if pending => 6,
                _ => 0,
            };
            let expected = (if write { 2 } else { 1 }, details, gpa & !0xFFF, 0);
            assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8, m.regs.r9), expected, "{op:?} {gpa:#x}");
        }
    }
}

#[test]
fn an_accepted_page_is_zero_and_stays() {
    let script =
        Script::new().then(Op::Set, 0, 9).then(Op::Store, 0, 0x8000).then(Op::Accept, 0, 0x8FFF).then(Op::Halt, 0, 0);
    let (mut m, td) = td(&script);
    let pages: Vec<u64> = td.pages().collect();
    m.memory.write(pages[pages.len() - 2], &[0xAA; 4096]).expect("RAM");
    assert_eq!(vmcall(&mut m, &td, 0), HALTED);
    let words = page(&m, &td);
    assert_eq!(words[0], 9, "accepting again changes nothing");
    assert!(words[1..].iter().all(|word| *word == 0), "what the VMM wrote before is gone");
}

#[test]
fn what_is_no_script_halts() {
    let (mut m, td) = td(&Script::new().then(Op::Store, 0, 0x8000));
    let script = td.pages().nth(16).expect("the script's page");
    let odd = Instruction { op: 15.into(), register: 0.into(), reserved: 0.into(), value: 0.into() };
    m.memory.write(script + 32, odd.as_bytes()).expect("RAM");
    assert_eq!(vmcall(&mut m, &td, 0), HALTED, "no such operation");
    m.memory.write(script, b"seam").expect("RAM");
    assert_eq!(vmcall(&mut m, &td, 1), HALTED, "no magic");
    assert_eq!(page(&m, &td)[0], 0);
    assert_eq!(SCRIPT_GPA % 4096, 0);
}

#[test]
fn a_script_is_written_in_whole_pages() {
    let long = (0..255).fold(Script::new(), |script, i| script.then(Op::Set, 0, i));
    assert_eq!((long.here(), long.to_pages().len()), (255, 4096));
    assert_eq!(long.then(Op::Set, 0, 0).to_pages().len(), 8192);
    assert_eq!(Script::new().to_pages()[..16], seam_emu::script::MAGIC);
}
