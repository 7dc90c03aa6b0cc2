//! What must hold whatever a VMM calls.

use crate::common::random::Random;
use crate::common::td::{SCRIPT_GPA, Td};
use crate::common::{Answer, Machine, PARAMS, call, image};
use proptest::prelude::*;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, GuestMemory, Regs, Reply};

/// A ready machine with TDs in every stage of construction, so that random calls find something to work on.
fn populated() -> Machine {
    let mut m = Machine::new(3);
    m.boot_linux();
    let script = Script::new().then(Op::Add, 0, 1).then(Op::Hash, 0, SCRIPT_GPA).then(Op::Jump, 0, 0);
    m.tds_in_every_stage(&script);
    m
}

/// Everything in the firmware agrees with itself.
fn assert_consistent(m: &Machine, what: &str) {
    let found = m.firmware.audit();
    assert!(found.is_empty(), "{what}: {found:#?}\n{}", m.firmware.describe());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_leave_the_firmware_consistent(seed: u64) {
        let mut m = populated();
        for (lp, regs) in crate::common::random::calls(seed, 3).take(600) {
            let (reply, _) = m.execute(lp, regs);
            prop_assert!(matches!(reply, Reply::Done(_)), "nothing lasts");
            prop_assert_eq!(m.firmware.held_locks(), []);
        }
        assert_consistent(&m, "after 600 calls");
    }

    #[test]
    fn random_calls_that_last_leave_the_firmware_consistent(seed: u64) {
        let mut m = populated();
        let durations = Durations { default_ns: 40, ..Durations::default() };
        let config = Config { durations, ..m.firmware.config().clone() };
        m.firmware = seam_emu::Firmware::restore(config, &m.firmware.save()).expect("the same platform");
        let mut random = Random::new(seed);
        let mut pending: Vec<Option<Regs>> = vec![None; 3];
        for (lp, fresh) in crate::common::random::calls(seed, 3).take(600) {
            m.now_ns += random.below(30);
            let regs = pending[lp].unwrap_or(fresh);
            let (reply, _) = m.execute(lp, regs);
            pending[lp] = matches!(reply, Reply::Wait { .. }).then_some(regs);
        }
        assert_consistent(&m, "with calls in flight");
        m.now_ns += 1000;
        for (lp, regs) in pending.iter().enumerate() {
            if let Some(regs) = regs {
                let (reply, _) = m.execute(lp, *regs);
                prop_assert!(matches!(reply, Reply::Done(_)));
            }
        }
        prop_assert_eq!(m.firmware.held_locks(), []);
        assert_consistent(&m, "after all calls");
    }

    #[test]
    fn digests_survive_updates_whatever_was_called_before(seed: u64) {
        let mut m = populated();
        let calls = crate::common::random::calls(seed, 3).filter(|(_, regs)| {
            // The update itself is under test, not what happens without a module.
            let leaf = regs.rax & 0xFFFF;
            let module_stays =
                regs.rax >> 63 == 0 && leaf != Leaf::SysShutdown.number() && leaf != Leaf::SysDisable.number();
            // The update writes INSTALL's parameters there: a VMM that gives this page to a TD destroys it itself.
            let names_params = [regs.rcx, regs.rdx, regs.r8].iter().any(|operand| operand & !0xFFF == PARAMS);
            module_stays && !names_params
        });
        for (lp, regs) in calls.take(300) {
            m.execute(lp, regs);
        }
        let before = m.firmware.td_digests(&m.memory);
        m.update(&ImageSpec::version(1, 5, 7));
        prop_assert_eq!(m.firmware.td_digests(&m.memory), before);
        assert_consistent(&m, "after the update");
    }

    #[test]
    fn saved_states_are_restored_whatever_was_called_before(seed: u64) {
        let mut m = populated();
        for (lp, regs) in crate::common::random::calls(seed, 3).take(200) {
            m.execute(lp, regs);
        }
        let bytes = m.firmware.save();
        let restored = seam_emu::Firmware::restore(m.firmware.config().clone(), &bytes).expect("its own state");
        prop_assert_eq!(restored.save(), bytes);
    }

    #[test]
    fn images_with_random_damage_are_never_installed(seed: u64) {
        let mut random = Random::new(seed);
        let mut file = image(&ImageSpec::version(1, 5, 7));
        let mut m = Machine::new(1);
        m.boot_linux();
        m.ok(0, call(Leaf::SysShutdown));
        // The header page is the kernel's to read, and what lies behind the sigstruct is nobody's.
        let at = if random.below(2) == 0 { 4096 + random.below(2048) } else { 8192 + random.below(file.len() as u64 - 8192) };
        file[at as usize] ^= 1 << random.below(8);
        let answer = m.install(&file, 1);
        prop_assert!(answer != Answer::Status(Status::SUCCESS), "byte {at:#x}");
    }

    #[test]
    fn random_bytes_are_no_image(bytes in proptest::collection::vec(any::<u8>(), 0..10_000)) {
        prop_assert!(seam_emu::image::Image::parse(&bytes).is_err());
    }

    #[test]
    fn random_scripts_do_not_break_the_firmware(seed: u64) {
        let mut random = Random::new(seed);
        let mut m = Machine::new(1);
        m.boot_linux();
        let mut td: Td = m.td(0, &[0], &Script::new().then(Op::End, 0, 0));
        let script = td.pages().last().expect("the script's page");
        let mut page = seam_emu::script::MAGIC.to_vec();
        while page.len() < 4096 {
            page.extend_from_slice(&(random.below(16) as u16).to_le_bytes());
            page.extend_from_slice(&(random.next() as u16).to_le_bytes());
            page.extend_from_slice(&[0; 4]);
            let values = [SCRIPT_GPA + random.below(4096), random.below(300), random.next(), 0x8000];
            page.extend_from_slice(&random.pick(&values).to_le_bytes());
        }
        m.memory.write(script, &page).expect("RAM");
        let mut added = false;
        for _ in 0..20 {
            let reason = m.enter(&td, 0, 0);
            prop_assert!(matches!(reason, 1 | 48 | 77), "{reason}");
            if reason == 48 && m.regs.r8 >> 12 == 8 && !std::mem::replace(&mut added, true) {
                m.ok(0, Regs { rcx: 0x8000, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemPageAug) });
            }
        }
        assert_consistent(&m, "after the script");
    }
}

#[test]
fn the_audit_finds_what_a_fault_spoils() {
    use seam_emu::{Corruption, Fault, FaultAction, FaultPoint};
    let fault = Fault {
        leaf: "TDH.SYS.UPDATE".to_owned(),
        lp: None,
        nth: 1,
        times: Some(1),
        at: FaultPoint::Before,
        action: FaultAction::CorruptTd(Corruption::DropKeyid),
    };
    let config = Config { faults: vec![fault], ..Config::for_lps(1) };
    let mut m = Machine::with(config, &ImageSpec::default());
    m.boot_linux();
    m.td(0, &[0], &Script::new());
    assert_consistent(&m, "before");
    m.update(&ImageSpec::version(1, 5, 7));
    assert_eq!(m.firmware.audit(), ["1 TDs have 1 KeyIDs, and 0 are taken"]);
}

#[test]
fn random_calls_do_reach_what_they_are_to_test() {
    let mut succeeded = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut m = populated();
        for (lp, regs) in crate::common::random::calls(seed, 3).take(600) {
            let (_, after) = m.execute(lp, regs);
            if regs.rax >> 63 == 0 && !Status(after.rax).is_error() {
                succeeded.extend(Leaf::from_module(regs.rax as u16));
            }
        }
    }
    assert!(succeeded.len() >= 20, "only {succeeded:?}");
}
