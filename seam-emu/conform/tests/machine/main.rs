//! The machine runs a module of this project's own, as it would run one that its user built.
//!
//! These tests need the software CPU: `cargo test -p seam-conform --features cpu`.

use seam_conform::{Machine, MachineError, ModuleFile, SEAM_RANGE, Sizes, Topology, field};
use seam_emu::{GuestMemory, Regs};
use std::process::Command;
use std::sync::OnceLock;

const TOPOLOGY: Topology = Topology { packages: 2, lps_per_package: 2 };
/// A page of memory.
const PAGE: u64 = 0x10_0000;

/// The module, assembled once.
fn module() -> &'static ModuleFile {
    static BUILT: OnceLock<ModuleFile> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("module.so");
        let built = Command::new("cc")
            .args(["-nostdlib", "-shared", "-Wl,-e,entry,--build-id=none,-z,norelro", "-o"])
            .args([&target, &concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine/module.S").into()])
            .status()
            .expect("cc, which links Rust programs, too");
        assert!(built.success());
        ModuleFile::parse(&std::fs::read(target).expect("it was built")).expect("a module")
    })
}

fn machine(seed: u64) -> Machine {
    Machine::new(TOPOLOGY, module(), Sizes::default(), seed).expect("it starts")
}

fn call(leaf: u64) -> Regs {
    Regs { rax: leaf, ..Regs::default() }
}

/// A call that must succeed.
fn ok(machine: &mut Machine, lp: usize, regs: Regs) -> Regs {
    let after = machine.seamcall(lp, &regs).expect("it returns");
    assert_eq!(after.rax, 0, "{regs:x?}");
    after
}

fn word(machine: &Machine, pa: u64) -> u64 {
    let mut bytes = [0; 8];
    machine.memory().read(pa, &mut bytes).expect("RAM");
    u64::from_le_bytes(bytes)
}

#[test]
fn the_module_is_entered_and_left_with_the_callers_registers() {
    let mut machine = machine(0);
    let regs = Regs { rax: 0, rdx: field::EXIT_REASON, rbx: 1, rsi: 2, rdi: 3, r12: 4, r15: 5, ..Regs::default() };
    let after = ok(&mut machine, 1, regs);
    assert_eq!(after.rcx, 76, "SEAMCALL");
    assert_eq!(Regs { rax: 0, rcx: 0, r11: 0, ..after }, Regs { rax: 0, ..regs });
    assert_eq!(machine.seamcall(1, &call(99)).expect("it returns").rax, u64::MAX, "no such leaf");
}

#[test]
fn each_lp_has_a_vmcs_of_its_own() {
    let mut machine = machine(0);
    ok(&mut machine, 2, Regs { rdx: field::HOST_IDTR_BASE, r8: 0x1234, ..call(1) });
    let read = Regs { rdx: field::HOST_IDTR_BASE, ..call(0) };
    assert_eq!(ok(&mut machine, 2, read).rcx, 0x1234);
    assert_eq!(ok(&mut machine, 3, read).rcx, 0);
}

#[test]
fn keyholes_lead_to_pages_whatever_the_keyid() {
    let mut machine = machine(0);
    machine.memory().write(PAGE + 16, &7u64.to_le_bytes()).expect("RAM");
    for (lp, keyid, before) in [(0, 0, 7), (3, 33, 100), (0, 35, 103)] {
        let write = Regs { rcx: keyid << 46 | (PAGE + 16), r8: 100 + lp, ..call(2) };
        assert_eq!(ok(&mut machine, lp as usize, write).rdx, before);
        assert_eq!(word(&machine, PAGE + 16), 100 + lp);
    }
}

#[test]
fn movdir64b_moves_sixty_four_bytes() {
    let mut machine = machine(0);
    machine.memory().write(PAGE, &[9; 65]).expect("RAM");
    ok(&mut machine, 1, Regs { rcx: 34 << 46 | (PAGE + 0x1000), rdx: PAGE, ..call(3) });
    assert_eq!(word(&machine, PAGE + 0x1000 + 56), 0x0909_0909_0909_0909);
    assert_eq!(word(&machine, PAGE + 0x1000 + 64), 0);
}

#[test]
fn entropy_follows_from_the_seed_and_lps_know_who_they_are() {
    let ask = |seed, lp| {
        let mut machine = machine(seed);
        ok(&mut machine, lp, Regs { rdx: 0x1400, ..call(4) })
    };
    assert_eq!(ask(1, 3).r8, SEAM_RANGE.base | 8);
    assert_eq!((ask(1, 3).r9, ask(1, 2).r9), (3, 2));
    assert_eq!(ask(1, 0).rcx, ask(1, 1).rcx);
    assert_ne!(ask(1, 0).rcx, ask(2, 0).rcx);
}

#[test]
fn a_fatal_error_stops_the_machine_and_names_the_place() {
    let stopped = machine(0).seamcall(0, &call(6)).expect_err("UD2");
    assert_eq!(stopped.at, "fatal+0x0", "{stopped}");
}

#[test]
fn a_td_that_is_entered_leaves_because_of_an_interrupt() {
    let mut machine = machine(0);
    assert_eq!(ok(&mut machine, 1, Regs { rcx: 40 << 46 | PAGE, ..call(8) }).rdx, 1);
    let reason = Regs { rdx: field::EXIT_REASON, ..call(0) };
    assert_eq!(ok(&mut machine, 1, reason).rcx, 76, "of its own VMCS again");
}

#[test]
fn an_update_keeps_handoff_data_and_forgets_the_rest() {
    let mut machine = machine(0);
    let update = |machine: &mut Machine, hv| machine.update(module(), Sizes { module_hv: hv, ..Sizes::default() });
    assert!(matches!(update(&mut machine, 0), Err(MachineError::Load(_))), "nothing was handed off");
    ok(&mut machine, 0, Regs { r8: 1, ..call(7) });
    ok(&mut machine, 0, Regs { rdx: field::HOST_IDTR_BASE, r8: 0x1234, ..call(1) });
    assert!(matches!(update(&mut machine, 0), Err(MachineError::Load(_))), "of a newer version");
    update(&mut machine, 1).expect("it fits");
    assert_eq!(ok(&mut machine, 0, Regs { rdx: field::HOST_IDTR_BASE, ..call(0) }).rcx, 0, "a new VMCS");
}

/// Two LPs add ten each; `order` says who goes on past how many points. What came between, and the sum.
fn race(order: impl FnMut(&[usize]) -> (usize, u64)) -> (u64, u64) {
    let mut machine = machine(0);
    let add = Regs { r8: 10, ..call(5) };
    let after = machine.interleave(&[(0, add), (3, add)], order).expect("they return");
    let data = SEAM_RANGE.base + 4096 * 5;
    (after.iter().map(|(regs, _)| regs.rcx).sum(), word(&machine, data))
}

#[test]
fn lps_come_between_each_other_where_they_are_told_to() {
    assert_eq!(race(|open| (open[0], u64::MAX)), (0, 20), "one after the other");
    let mut turn = 0;
    let (between, sum) = race(|open| {
        turn += 1;
        (open[turn % open.len()], 0)
    });
    assert_eq!(sum, 20, "none is lost");
    assert!(between > 0, "each came between the other's load and its store");
}
