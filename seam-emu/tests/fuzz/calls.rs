//! Raw calls from three LPs, on a machine in one of several states, time going on between them.

use crate::bytes::{Bytes, random_inputs};
use crate::common::td::{POOL, SCRIPT_GPA, SOURCE, TD_PARAMS};
use crate::common::{BUFFER, GLOBAL_KEYID, Machine, PARAMS, TDMR_ARRAY, TDMR_INFO, call, image};
use seam_emu::abi::Leaf;
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, Fault, Firmware, GuestMemory, Regs, Reply};
use std::sync::LazyLock;

/// LPs of the machine.
const LPS: usize = 3;
/// Calls that one input makes at most, so that none lasts long.
const MOST_CALLS: usize = 400;

/// Machines to begin with: fresh, initialised, ready with TDs in several stages, shut down with a new image at hand.
static MACHINES: LazyLock<[Machine; 4]> = LazyLock::new(|| machines(Vec::new()));

fn machines(faults: Vec<Fault>) -> [Machine; 4] {
    let durations = Durations { default_ns: 40, ..Durations::default() };

    let platform = Config { script_steps: 20, ..Config::for_lps(LPS) };
    let fresh = Machine::with(platform.clone(), &ImageSpec::default());
    let mut initialized = fresh.clone();
    initialized.init_lps();
    initialized.config_call(&Machine::tdmr());
    let config = Config { durations, faults, ..platform };
    let ready = populated(&fresh);
    let mut shut = ready.clone();
    shut.ok(0, call(Leaf::SysShutdown));
    shut.install_call(&image(&ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 7) }), 1);
    [fresh, initialized, ready, shut].map(|mut m| {
        m.firmware = Firmware::restore(config.clone(), &m.firmware.save()).expect("the same platform");
        m
    })
}

/// Ready, with a TD that runs, one that is being built and one without keys.
fn populated(fresh: &Machine) -> Machine {
    let mut m = fresh.clone();
    m.boot_linux();
    let script = Script::new().then(Op::Accept, 0, 0x8000).then(Op::Hash, 0, SCRIPT_GPA).then(Op::Jump, 0, 0);
    m.tds_in_every_stage(&script);
    m
}

/// An operand, most often one that means something.
fn operand(bytes: &mut Bytes<'_>) -> u64 {
    const WORDS: [u64; 16] = [
        0,
        1,
        2,
        u64::MAX,
        SCRIPT_GPA,
        TD_PARAMS,
        SOURCE,
        BUFFER,
        PARAMS,
        TDMR_ARRAY,
        TDMR_INFO,
        1 << 30,
        0x0800_0001_0000_0003,
        0x2000_0000_0000_000B,
        0x1100_0003_0000_0000,
        1 << 16,
    ];
    match bytes.byte().unwrap_or(0) {
        // A page of one of the TDs' parts of the pool.
        b @ 0..=0x7F => POOL + 0x10_0000 * u64::from(b >> 5) + 4096 * u64::from(b & 31),
        // A guest-physical address and its level.
        b @ 0x80..=0xBF => u64::from((b >> 2) & 15) << 12 | u64::from(b & 3),
        b @ 0xC0..=0xCF => WORDS[usize::from(b & 15)],
        b @ 0xD0..=0xD7 => GLOBAL_KEYID + u64::from(b & 7),
        // A page of the pool with a flag in its lowest bit.
        0xD8..=0xDF => POOL + 4096 * u64::from(bytes.byte().unwrap_or(0)) + 1,
        _ => bytes.word(),
    }
}

/// The leaf and its version.
fn rax(bytes: &mut Bytes<'_>) -> u64 {
    let choice = bytes.byte().unwrap_or(0);
    let Some(leaf) = Leaf::ALL.get(usize::from(choice & 0x7F)) else { return bytes.word() };
    leaf.number() | u64::from(choice >> 7) << 16
}

/// Changes a byte of what calls read.
fn poke(m: &mut Machine, bytes: &mut Bytes<'_>) {
    const PLACES: [u64; 6] = [TD_PARAMS, TDMR_INFO, TDMR_ARRAY, PARAMS, SOURCE, crate::common::IMAGE];
    let place = PLACES[usize::from(bytes.byte().unwrap_or(0)) % PLACES.len()];
    let at = place + u64::from(bytes.short());
    m.memory.write(at, &[bytes.byte().unwrap_or(0)]).expect("all places lie in RAM");
}

/// Runs the input's calls on a machine and judges what comes of it.
fn check(machines: &[Machine; 4], input: &[u8]) -> Result<(), String> {
    let mut bytes = Bytes::new(input);
    let mut m = machines[usize::from(bytes.byte().unwrap_or(2) & 3)].clone();
    let mut pending: [Option<Regs>; LPS] = [None; LPS];
    for _ in 0..MOST_CALLS {
        let Some(head) = bytes.byte() else { break };
        m.now_ns += u64::from(head >> 2);
        let lp = usize::from(head & 3);
        if lp == LPS {
            poke(&mut m, &mut bytes);
            continue;
        }
        let regs = pending[lp].unwrap_or_else(|| fresh_call(&mut bytes));
        let (reply, after) = m.execute(lp, regs);
        pending[lp] = match reply {
            Reply::Done(_) => None,
            Reply::Wait { until_ns } if until_ns > m.now_ns && after == regs => Some(regs),
            other => return Err(format!("{other:?} at {} of {regs:x?}", m.now_ns)),
        };
    }
    consistent(&m, "with calls in flight")?;
    finish(&mut m, &pending)?;
    consistent(&m, "after all calls")?;
    restorable(&m)?;
    update(&mut m)
}

fn fresh_call(bytes: &mut Bytes<'_>) -> Regs {
    let rax = rax(bytes);
    let mut o = || operand(bytes);
    Regs { rax, rcx: o(), rdx: o(), r8: o(), r9: o(), ..Regs::default() }
}

fn consistent(m: &Machine, when: &str) -> Result<(), String> {
    let found = m.firmware.audit();
    if found.is_empty() { Ok(()) } else { Err(format!("{when}: {found:#?}\n{}", m.firmware.describe())) }
}

/// Lets every call end: no lock is left.
fn finish(m: &mut Machine, pending: &[Option<Regs>; LPS]) -> Result<(), String> {
    m.now_ns += 1000;
    for (lp, regs) in pending.iter().enumerate() {
        let Some(regs) = regs else { continue };
        let (reply, _) = m.execute(lp, *regs);
        if !matches!(reply, Reply::Done(_)) {
            return Err(format!("LP {lp} does not leave: {reply:?}"));
        }
    }
    let held = m.firmware.held_locks();
    if held.is_empty() { Ok(()) } else { Err(format!("locks are left: {held:?}")) }
}

fn restorable(m: &Machine) -> Result<(), String> {
    let saved = m.firmware.save();
    let restored = Firmware::restore(m.firmware.config().clone(), &saved).map_err(|e| e.to_string())?;
    if restored.save() == saved { Ok(()) } else { Err("a restored state differs".to_owned()) }
}

/// A module that is ready can be updated, and its TDs do not notice.
fn update(m: &mut Machine) -> Result<(), String> {
    if m.firmware.module_state() != 3 {
        return Ok(());
    }
    let before = m.firmware.td_digests(&m.memory);
    m.update(&ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 8) });
    if m.firmware.td_digests(&m.memory) != before {
        return Err("a TD changed while its module was replaced".to_owned());
    }
    consistent(m, "after the update")
}

#[test]
fn target() {
    bolero::check!().with_iterations(0).for_each(|input| {
        if let Err(broken) = check(&MACHINES, input) {
            panic!("{broken}");
        }
    });
}

#[test]
fn random_inputs_break_nothing() {
    random_inputs(1500, 2000, |input| check(&MACHINES, input));
}

#[test]
fn what_a_fault_spoils_is_found() {
    use seam_emu::{Corruption, FaultAction, FaultPoint};
    for (corruption, told) in [
        (Corruption::FlipBit, "a TD changed"),
        (Corruption::ForgetRegisters, "a TD changed"),
        (Corruption::DropKeyid, "a TD changed"),
    ] {
        let fault = Fault {
            leaf: "TDH.SYS.UPDATE".to_owned(),
            lp: None,
            nth: 1,
            times: Some(1),
            at: FaultPoint::Before,
            action: FaultAction::CorruptTd(corruption),
        };
        let mut machines = machines(vec![fault]);
        // A vCPU has registers to forget once it has run.
        let tdvpr = POOL + 7 * 4096;
        machines[2].call(0, Regs { rcx: tdvpr, ..call(Leaf::VpEnter) });
        let broken = check(&machines, &[2]).expect_err("the TD is spoiled");
        assert!(broken.starts_with(told), "{corruption:?}: {broken}");
    }
}

#[test]
fn a_call_that_never_returns_is_found() {
    use seam_emu::{FaultAction, FaultPoint};
    let fault = Fault {
        leaf: "TDH.SYS.INIT".to_owned(),
        lp: None,
        nth: 1,
        times: Some(1),
        at: FaultPoint::Before,
        action: FaultAction::NeverReturns,
    };
    let init = Leaf::ALL.iter().position(|leaf| *leaf == Leaf::SysInit).expect("it is there") as u8;
    let broken = check(&machines(vec![fault]), &[0, 0, init]).expect_err("it is never done");
    assert!(broken.starts_with("Never"), "{broken}");
}
