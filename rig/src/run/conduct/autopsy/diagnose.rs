//! Where everything is when the guest makes no progress. Each step has its own bound in time, and all together too.

use super::stack::stack;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::machine::control::Emulator;
use crate::machine::registers::{CpuRegisters, parse_registers, parse_words};
use crate::run::conduct::observer::Observed;
use crate::symbols::Symbols;
use rig_judge::Step;
use rig_judge::timeline::Decoder;
use rig_judge::verdict::{CpuDiagnosis, Diagnosis, TaskDiagnosis};
use rig_wire::plan::Control;
use rig_wire::task::BlockedTask;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Bound on reading all vCPUs.
const LIMIT: Duration = Duration::from_secs(15);
/// Bound on asking the agent, which cannot answer where the hang takes all CPUs.
const TASKS_LIMIT: Duration = Duration::from_secs(3);
/// Words of a vCPU's stack that are read.
const STACK_WORDS: usize = 512;

/// Bound on asking the firmware for its module.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// What stands in place of the firmware's state.
const NOT_QUERIED: &str = "not queried, which is not possible on the deterministic clock";

/// RFLAGS.IF.
const INTERRUPTS: u64 = 0x200;

/// What was read of the machine while it still stood.
#[derive(Debug, Default)]
pub(crate) struct Autopsy {
    /// Registers and symbolised stack of each vCPU that could be read in time.
    pub(crate) cpus: Vec<(CpuRegisters, Vec<String>)>,
    /// The firmware's states and lock holders, in words.
    pub(crate) firmware: String,
    /// Tasks in uninterruptible sleep, where the agent answered.
    pub(crate) tasks: Vec<BlockedTask>,
}

/// Asks the agent, if it still answers, then stops the machine and reads it.
pub(crate) async fn examine(machine: &Machine, guest: &Guest, emulator: &Emulator, symbols: &Symbols) -> Autopsy {
    let deadline = Instant::now() + LIMIT;
    let Some(monitors) = &machine.monitors else {
        return Autopsy { firmware: NOT_QUERIED.into(), ..Autopsy::default() };
    };
    let firmware = match emulator.ask(&Control::Describe).await {
        Ok(words) => words,
        Err(e) => format!("could not be asked: {e}"),
    };
    let tasks = if guest.is_ready() { guest.blocked_tasks(TASKS_LIMIT).await.unwrap_or_default() } else { Vec::new() };
    // A machine that does not stop can still be read, only less exactly.
    let _ = monitors.qmp.execute(qapi::qmp::stop {}).await;
    let mut autopsy = Autopsy { cpus: Vec::new(), firmware, tasks };
    let Ok(dump) = monitors.qmp.human("info registers -a").await else { return autopsy };
    for registers in parse_registers(&dump) {
        let line = format!("x /{STACK_WORDS}gx {:#x}", registers.rsp);
        let read = timeout_at(deadline, monitors.qmp.human_on(registers.cpu, &line)).await;
        let words = read.map_or_else(|_| Vec::new(), |dump| parse_words(&dump.unwrap_or_default()));
        autopsy.cpus.push((registers, stack(symbols, &registers, &words)));
    }
    autopsy
}

/// What the emulated firmware says of its module at this moment; none: it does not answer.
pub(crate) async fn module_in_firmware(emulator: &Emulator) -> Option<String> {
    let words = timeout(ASK_LIMIT, emulator.ask(&Control::Describe)).await.ok()?.ok()?;
    words.lines().next().map(Into::into)
}

/// Joins what the machine showed with what its events say.
pub(crate) fn diagnosis(what: &str, autopsy: &Autopsy, observed: &Observed, words: &Decoder) -> Diagnosis {
    let cpu = |(registers, stack): &(CpuRegisters, Vec<String>)| CpuDiagnosis {
        lp: u16::try_from(registers.cpu).unwrap_or(u16::MAX),
        position: position(registers, observed, words),
        stack: stack.clone(),
    };
    let unasked: Vec<_> = (0..observed.last.len()).map(|lp| (unread(lp), Vec::new())).collect();
    let cpus = if autopsy.cpus.is_empty() { &unasked } else { &autopsy.cpus };
    let task = |task: &BlockedTask| TaskDiagnosis { id: task.id, name: task.name.clone(), stack: task.stack.clone() };
    Diagnosis {
        summary: what.to_owned(),
        cpus: cpus.iter().map(cpu).collect(),
        firmware: autopsy.firmware.clone(),
        tasks: autopsy.tasks.iter().map(task).collect(),
    }
}

/// A vCPU of which only events are known.
fn unread(lp: usize) -> CpuRegisters {
    CpuRegisters { cpu: u32::try_from(lp).unwrap_or(u32::MAX), rflags: INTERRUPTS, ..CpuRegisters::default() }
}

fn position(registers: &CpuRegisters, observed: &Observed, words: &Decoder) -> String {
    let lp = registers.cpu as usize;
    let state = observed.state.get(lp).copied().flatten();
    let step = match state.map(|s| (s, Step::from_number(s))) {
        Some((_, Some(step))) => format!("last saw step {step}"),
        Some((number, None)) => format!("last saw step number {number}, which is none"),
        None => "in no update yet".to_owned(),
    };
    let last = match observed.last.get(lp).copied().flatten() {
        Some(record) => format!("last event #{} ({})", record.seq, words.describe(&record)),
        None => "no event yet".to_owned(),
    };
    let halted = if registers.halted { ", halted" } else { "" };
    let interrupts = if registers.rflags & INTERRUPTS == 0 { ", interrupts off" } else { "" };
    format!("{step}; {last}{halted}{interrupts}")
}
