//! Calls that last: contention, waiting, interrupts between executions.

use crate::common::td::Td;
use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Completion, Config, Durations, Outcome, Regs, Reply};

/// `n` LPs, and leaves that last as given.
fn machine(n: usize, durations: &[(&str, u64)]) -> Machine {
    let leaf_ns = durations.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect();
    let durations = Durations { leaf_ns, ..Durations::default() };
    Machine::with(Config { durations, ..Config::for_lps(n) }, &ImageSpec::default())
}

/// A first execution that must last.
fn begin(m: &mut Machine, lp: usize, regs: Regs) -> u64 {
    match m.execute(lp, regs) {
        (Reply::Wait { until_ns }, after) => {
            assert_eq!(after, regs);
            until_ns
        }
        (other, _) => panic!("{other:?} instead of waiting"),
    }
}

/// A later execution that must end with a status.
fn end(m: &mut Machine, lp: usize, regs: Regs) -> Status {
    match m.execute(lp, regs) {
        (Reply::Done(Completion { outcome: Outcome::Return, .. }), after) => Status(after.rax),
        (other, _) => panic!("{other:?} instead of an end"),
    }
}

#[test]
fn two_lps_cannot_be_inside_p_seamldr() {
    let mut m = machine(2, &[("SEAMLDR.INFO", 1000)]);
    let info = Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) };
    assert_eq!(begin(&mut m, 0, info), 1000);
    assert_eq!(m.call(1, info), Answer::VmFailInvalid);
    assert!(m.completion.contended, "because of LP 0");
    m.now_ns = 999;
    assert_eq!(begin(&mut m, 0, info), 1000);
    m.now_ns = 1000;
    // LP 0 has left SEAM although it did not come back yet.
    assert_eq!(begin(&mut m, 1, info), 2000);
    assert_eq!(end(&mut m, 0, info), Status::SUCCESS);
    m.now_ns = 2000;
    assert_eq!(end(&mut m, 1, info), Status::SUCCESS);
    assert_eq!(m.firmware.held_locks(), []);
}

#[test]
fn p_seamldr_and_module_can_be_entered_at_once() {
    let mut m = machine(2, &[("SEAMLDR.INFO", 1000)]);
    begin(&mut m, 0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    m.ok(1, call(Leaf::SysInit));
}

#[test]
fn the_global_lock_can_be_shared_by_lp_init_only() {
    let mut m = machine(3, &[("TDH.SYS.LP.INIT", 10), ("TDH.SYS.INIT", 10)]);
    begin(&mut m, 0, call(Leaf::SysInit));
    assert_eq!(m.call(1, call(Leaf::SysLpInit)), Answer::Status(Status::SYS_BUSY));
    assert!(m.completion.contended);
    m.now_ns = 10;
    m.now_ns = begin(&mut m, 1, call(Leaf::SysLpInit)).min(begin(&mut m, 2, call(Leaf::SysLpInit)));
    assert_eq!(end(&mut m, 1, call(Leaf::SysLpInit)), Status::SUCCESS);
    assert_eq!(end(&mut m, 0, call(Leaf::SysInit)), Status::SUCCESS);
}

#[test]
fn shutdown_finds_other_lps_busy_and_opens_again() {
    let mut m = machine(3, &[("TDH.SYS.RD", 500), ("TDH.SYS.SHUTDOWN", 100)]);
    m.boot_linux();
    let read = Regs { rdx: 0x0800_0001_0000_0003, ..call(Leaf::SysRd) };
    let read_end = begin(&mut m, 1, read);
    let shutdown_end = begin(&mut m, 0, call(Leaf::SysShutdown));
    assert_eq!(m.firmware.module_state(), 4, "others see it shut down meanwhile");
    assert_eq!(m.call(2, read), Answer::Status(Status::SYS_SHUTDOWN));
    m.now_ns = shutdown_end;
    assert_eq!(end(&mut m, 0, call(Leaf::SysShutdown)), Status::SYS_BUSY);
    assert_eq!(m.firmware.module_state(), 3);
    m.now_ns = read_end;
    assert_eq!(end(&mut m, 1, read), Status::SUCCESS);
    m.ok(0, call(Leaf::SysShutdown));
}

#[test]
fn shutdown_ends_busy_without_a_window_when_it_takes_no_time() {
    let mut m = machine(2, &[("TDH.SYS.RD", 500)]);
    m.boot_linux();
    begin(&mut m, 1, Regs { rdx: 0, ..call(Leaf::SysRd) });
    assert_eq!(m.call(0, call(Leaf::SysShutdown)), Answer::Status(Status::SYS_BUSY));
    assert_eq!(m.firmware.module_state(), 3);
}

#[test]
fn an_lp_that_left_is_not_busy_although_it_did_not_come_back() {
    let mut m = machine(2, &[("TDH.SYS.RD", 500)]);
    m.boot_linux();
    m.now_ns = begin(&mut m, 1, Regs { rdx: 0, ..call(Leaf::SysRd) });
    m.ok(0, call(Leaf::SysShutdown));
}

#[test]
fn a_tdmr_is_initialized_by_one_lp_at_a_time() {
    let mut m = machine(2, &[("TDH.SYS.TDMR.INIT", 50)]);
    m.init_lps();
    let config = m.config_call(&Machine::tdmr());
    m.ok(0, config);
    m.key_config();
    begin(&mut m, 0, call(Leaf::SysTdmrInit));
    let busy = Answer::Status(Status::OPERAND_BUSY.operand(Operand::Rcx));
    assert_eq!(m.call(1, call(Leaf::SysTdmrInit)), busy);
}

#[test]
fn an_interrupt_between_executions_can_make_a_call_of_its_own() {
    let mut m = machine(1, &[("TDH.SYS.RD", 500)]);
    m.boot_linux();
    let (outer, inner) = (Regs { rdx: 0, ..call(Leaf::SysRd) }, Regs { rdx: 1 << 62, ..call(Leaf::SysRd) });
    let first = begin(&mut m, 0, outer);
    // On hardware the interrupt would wait for the call's end.
    assert_eq!(begin(&mut m, 0, inner), first);
    m.now_ns = first;
    let second = begin(&mut m, 0, inner);
    assert_eq!(second, first + 500);
    m.now_ns = second;
    assert_eq!(end(&mut m, 0, inner), Status::METADATA_FIELD_ID_INCORRECT);
    assert_eq!(end(&mut m, 0, outer), Status::SUCCESS);
}

#[test]
fn a_call_that_reads_pages_lasts_longer() {
    let durations = Durations { page_ns: 7, ..Durations::default() };
    let mut m = Machine::with(Config { durations, ..Config::for_lps(1) }, &ImageSpec::default());
    let regs = m.install_call(&crate::common::image(&ImageSpec::version(1, 5, 7)), 0);
    // Parameters, sigstruct and 146 module pages.
    assert_eq!(begin(&mut m, 0, regs), 148 * 7);
}

/// Two LPs, a TD with a vCPU for each that runs for ever.
fn td_machine() -> (Machine, Td) {
    let mut m = machine(2, &[("TDH.VP.ENTER", 100)]);
    m.boot_linux();
    let td = m.td(0, &[0, 1], &Script::new().then(Op::Jump, 0, 0));
    (m, td)
}

#[test]
fn a_running_vcpu_holds_up_the_second_track() {
    let (mut m, td) = td_machine();
    let enter = Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) };
    let track = Regs { rcx: td.tdr, ..call(Leaf::MemTrack) };
    let exit = begin(&mut m, 0, enter);
    m.ok(1, track);
    assert_eq!(m.call(1, track), Answer::Status(Status::PREVIOUS_TLB_EPOCH_BUSY));
    m.now_ns = exit;
    m.ok(1, track);
    assert_eq!(end(&mut m, 0, enter), Status(1));
}

#[test]
fn a_running_vcpu_keeps_its_td_and_the_module() {
    let (mut m, td) = td_machine();
    begin(&mut m, 0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) });
    let flush = m.call(1, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
    assert_eq!(flush, Answer::Status(Status::OPERAND_BUSY.operand(Operand::Rcx)));
    let done = m.call(1, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    assert_eq!(done, Answer::Status(Status::OPERAND_BUSY.operand(Operand::Rcx)));
    assert_eq!(m.call(1, call(Leaf::SysShutdown)), Answer::Status(Status::SYS_BUSY));
    // The other vCPU runs at the same time.
    begin(&mut m, 1, Regs { rcx: td.vcpus[1], ..call(Leaf::VpEnter) });
}

#[test]
fn realistic_durations_name_leaves_that_exist() {
    let config = Config { durations: Durations::realistic(), ..Config::for_lps(1) };
    assert_eq!(config.validate(), Ok(()));
    let mut wrong = config;
    wrong.durations.leaf_ns.insert("TDH.SYS.STOP".to_owned(), 1);
    assert!(wrong.validate().is_err());
}

#[test]
fn calls_end_one_by_one() {
    let mut m = machine(4, &[("TDH.SYS.RD", 500), ("TDH.SYS.RDALL", 1000), ("SEAMLDR.INFO", 300)]);
    m.boot_linux();
    let start = m.now_ns;
    let read = Regs { rdx: 0, ..call(Leaf::SysRd) };
    let list = Regs { rdx: BUFFER + 4096, r8: u64::MAX, ..call(Leaf::SysRdall) };
    begin(&mut m, 1, read);
    begin(&mut m, 2, list);
    begin(&mut m, 3, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    for (after, held, busy) in [(299, 1, true), (300, 0, true), (500, 0, true), (999, 0, true), (1000, 0, false)] {
        m.now_ns = start + after;
        let answer = m.call(0, call(Leaf::SysShutdown));
        assert_eq!(m.firmware.held_locks().len(), held, "after {after} ns");
        let expected = if busy { Status::SYS_BUSY } else { Status::SUCCESS };
        assert_eq!(answer, Answer::Status(expected), "after {after} ns");
        assert_eq!(m.completion.contended, busy);
    }
    assert_eq!(end(&mut m, 1, read), Status::SUCCESS);
}

#[test]
fn a_call_inside_p_seamldr_does_not_make_the_module_busy() {
    let mut m = machine(2, &[("SEAMLDR.INFO", 300)]);
    m.boot_linux();
    begin(&mut m, 1, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    m.ok(0, call(Leaf::SysShutdown));
}

#[test]
fn calls_in_flight_are_described() {
    let mut m = machine(3, &[("TDH.SYS.RD", 500), ("SEAMLDR.INFO", 300)]);
    let fresh = "TDX module 1.5.06: InitPending, open, 0 of 3 LPs initialised\nP-SEAMLDR: Ready, 16 updates remain\n";
    assert_eq!(m.firmware.describe(), fresh);
    m.boot_linux();
    m.now_ns = 40;
    begin(&mut m, 1, Regs { rdx: 0, ..call(Leaf::SysRd) });
    begin(&mut m, 2, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    let expected = "TDX module 1.5.06: Ready, open, 3 of 3 LPs initialised\nP-SEAMLDR: Ready, 16 updates remain\n\
        LP 2 holds SeamLdr Exclusive\nLP 1 is in TDH.SYS.RD until 540 ns\nLP 2 is in SEAMLDR.INFO until 340 ns\n";
    assert_eq!(m.firmware.describe(), expected);
    m.now_ns = 1000;
    let install = m.install_call(&crate::common::image(&ImageSpec::version(1, 5, 7)), 1);
    m.ok(1, install);
    let expected = "TDX module 1.5.06: Ready, closed by P-SEAMLDR, 3 of 3 LPs initialised\n\
        P-SEAMLDR: Install, 16 updates remain\nSEAMLDR.INSTALL session: waiting for LPs [0, 2]\n";
    assert_eq!(m.firmware.describe(), expected);
}
