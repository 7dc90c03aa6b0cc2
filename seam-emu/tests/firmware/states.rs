//! Every leaf in every state of the module's life cycle, as a table.
//!
//! Columns: 0 `SYSINIT_PENDING`, 1 `SYSINIT_DONE` (LPs initialised), 2 `SYSCONFIG_DONE`, 3 `SYS_READY`,
//! 4 `SYS_SHUTDOWN`. Cells:
//!   `-` the dispatcher refuses with `SYS_NOT_READY`
//!   `D` it refuses with `SYS_SHUTDOWN`
//!   `p` the leaf runs and says that it is not its turn
//!   `o` the leaf runs and finds its operands wrong (they are all zero, which for some leaves is right)
//!   `s` the leaf runs and succeeds
//!   `x` no such leaf: `OPERAND_INVALID` for RAX

use crate::common::{Answer, Machine, call};
use seam_emu::Regs;
use seam_emu::abi::{Leaf, Status};

/// Rows that differ from [`ORDINARY`].
const TABLE: &[(Leaf, &str)] = &[
    (Leaf::SysInit, "spppD"),
    (Leaf::SysLpInit, "ppppD"),
    (Leaf::SysInfo, "poooD"),
    (Leaf::SysRd, "psssD"),
    (Leaf::SysRdall, "poooD"),
    (Leaf::SysConfig, "poppD"),
    (Leaf::SysKeyConfig, "ppspD"),
    (Leaf::SysUpdate, "poppD"),
    (Leaf::SysShutdown, "---sD"),
    (Leaf::SysLpShutdown, "sssss"),
    (Leaf::SysTdmrInit, "---sD"),
    (Leaf::SysDisable, "xxxxD"),
    (Leaf::MemPageRelocate, "---xD"),
    (Leaf::MemRd, "---xD"),
    (Leaf::MngWr, "---xD"),
    (Leaf::MemWr, "---xD"),
    (Leaf::MemPageDemote, "---oD"),
    (Leaf::MemPagePromote, "---oD"),
    (Leaf::MemSeptRd, "---xD"),
    (Leaf::MngKeyReclaimid, "---xD"),
    (Leaf::MemSeptRemove, "---xD"),
    (Leaf::MemSeptWr, "---xD"),
    (Leaf::PhymemPamtAdd, "---xD"),
    (Leaf::PhymemPamtRemove, "---xD"),
    (Leaf::ServtdBind, "---xD"),
    (Leaf::ServtdPrebind, "---xD"),
];

/// A leaf that works on memory or TDs: only when ready, and zero operands are wrong.
const ORDINARY: &str = "---oD";
/// A leaf of migration, which is not modelled.
const MIGRATION: &str = "---xD";

/// Machines whose modules are in the five states.
fn machines() -> Vec<Machine> {
    let mut m = Machine::new(1);
    let mut all = vec![m.clone()];
    m.init_lps();
    all.push(m.clone());
    let config = m.config_call(&Machine::tdmr());
    m.ok(0, config);
    all.push(m.clone());
    m.ok(0, call(Leaf::SysKeyConfig));
    all.push(m.clone());
    m.ok(0, call(Leaf::SysShutdown));
    all.push(m);
    for (state, m) in all.iter().enumerate() {
        assert_eq!(m.firmware.module_state(), state as u64);
    }
    all
}

/// The cell that an answer is.
fn cell(leaf: Leaf, answer: Answer) -> char {
    let Answer::Status(status) = answer else { panic!("{leaf:?}: {answer:?}") };
    match status {
        Status::SUCCESS => 's',
        Status::SYS_NOT_READY => '-',
        Status::SYS_SHUTDOWN => 'D',
        Status::SYS_INIT_NOT_PENDING
        | Status::SYS_LP_INIT_NOT_PENDING
        | Status::SYS_LP_INIT_DONE
        | Status::SYS_LP_INIT_NOT_DONE
        | Status::SYS_CONFIG_NOT_PENDING
        | Status::SYS_KEY_CONFIG_NOT_PENDING
        | Status::SYS_STATE_INCORRECT => 'p',
        Status(0xC000_0100_0000_0000) => 'x',
        _ => 'o',
    }
}

#[test]
fn every_leaf_answers_in_every_state_as_the_table_says() {
    let machines = machines();
    for &leaf in Leaf::ALL.iter().filter(|leaf| !leaf.is_seamldr()) {
        let named = TABLE.iter().find(|(row, _)| *row == leaf).map(|(_, cells)| *cells);
        let migration = leaf.number() >= 64 && leaf != Leaf::SysDisable;
        let expected = named.unwrap_or(if migration { MIGRATION } else { ORDINARY });
        let expected: String = expected.chars().filter(|cell| *cell != ' ').collect();
        let actual: String =
            (0..5).map(|state: usize| cell(leaf, machines[state].clone().call(0, call(leaf)))).collect();
        assert_eq!(actual, expected, "{}", leaf.name());
    }
}

#[test]
fn numbers_that_are_no_leaf_answer_like_unknown_leaves() {
    let machines = machines();
    for number in [46, 47, 67, 97, 200, 0xFFFF] {
        let regs = Regs { rax: number, ..Regs::default() };
        let answers: Vec<Answer> = machines.iter().map(|m| m.clone().call(0, regs)).collect();
        let not_ready = Answer::Status(Status::SYS_NOT_READY);
        let unknown = Answer::Status(Status::OPERAND_INVALID);
        let shut = Answer::Status(Status::SYS_SHUTDOWN);
        assert_eq!(answers, [not_ready, not_ready, not_ready, unknown, shut], "{number}");
    }
}

#[test]
fn versions_and_reserved_bits_of_rax_are_checked_before_the_state() {
    for rax in [1 << 24, 1 << 32 | 0x22, 1 << 62, 1 << 16 | 0x22, 1 << 16 | 0x2D] {
        for (state, m) in machines().into_iter().enumerate() {
            let answer = { m }.call(0, Regs { rax, ..Regs::default() });
            assert_eq!(answer, Answer::Status(Status::OPERAND_INVALID), "{rax:#x} in state {state}");
        }
    }
}

#[test]
fn leaves_that_are_not_modelled_are_told_apart_from_leaves_that_do_not_exist() {
    let mut m = machines().swap_remove(3);
    m.call(0, call(Leaf::ExportMem));
    assert!(m.completion.unmodelled);
    m.call(0, Regs { rax: 97, ..Regs::default() });
    assert!(!m.completion.unmodelled);
}
