//! `verdict.json`: all that the rig says of one run.

use crate::attempt::Attempt;
use crate::finding::{Breach, Finding, NotObserved, Standing};
use crate::origin::{KernelImage, RigBuild};
use crate::stats::Statistics;
use crate::{Findings, Invariant, RunEnd, Unmodelled};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Version of `verdict.json`'s form.
pub const VERDICT_VERSION: u32 = 1;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What the scenario demands to be held was seen to hold, nothing broke, and the scenario's outcome is the expected one.
    Passed,
    /// The kernel shows the known defect that the scenario describes: no pass, and no failure that is news.
    Xfail,
    /// The kernel does not show the known defect that the scenario describes: the scenario is to be changed.
    Xpass,
    /// An invariant broke, or the scenario's outcome is another than the expected one.
    Failed,
    /// The guest made no progress.
    Hung,
    /// The guest's kernel crashed.
    GuestCrashed,
    /// The rig or its environment failed; nothing is said of the subject.
    RigError,
    /// Run, but not judged: nothing was recorded by which it could be.
    Unjudged,
    /// Not run.
    Skipped,
}

impl Outcome {
    /// The exit code of a command that ends with it. 2, for usage, is no verdict.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed | Self::Xfail => 0,
            Self::Failed | Self::Xpass => 1,
            Self::Hung => 3,
            Self::GuestCrashed => 4,
            Self::RigError => 5,
            Self::Unjudged | Self::Skipped => 77,
        }
    }

    /// Its name, as in `verdict.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Xfail => "xfail",
            Self::Xpass => "xpass",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::GuestCrashed => "guest-crashed",
            Self::RigError => "rig-error",
            Self::Unjudged => "unjudged",
            Self::Skipped => "skipped",
        }
    }
}

/// What the rig knows of a run apart from what was judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// The scenario's name.
    pub scenario: String,
    /// vCPUs of the machine.
    pub cpus: u16,
    /// Updates that were completed with success, as the uploader read it back.
    pub updates: u32,
    /// Version of the TDX module before the first update, as the guest reads it.
    pub module_before: Option<String>,
    /// Version of the TDX module after the last update; none: the guest has no module any more, or it was not read back.
    pub module_after: Option<String>,
    /// Why `module_after` was not read back; none: it was.
    #[serde(default)]
    pub module_unread: Option<String>,
    /// What the emulated firmware said of the module when the machine was ended early; none: it was not asked.
    #[serde(default)]
    pub module_in_firmware: Option<String>,
    /// Each attempt to update, in order. Empty where nobody read back what became of each.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Why there was nothing to update: the kernel offered no update, or the subject refused to load.
    #[serde(default)]
    pub not_offered: Option<String>,
    /// Release of the guest's kernel.
    pub kernel: Option<String>,
    /// The image of the guest's kernel; none: there is no guest.
    #[serde(default)]
    pub kernel_image: Option<KernelImage>,
    /// The rig that made the verdict.
    #[serde(default)]
    pub rig: RigBuild,
    /// How SEAMCALLs reached the emulated firmware, and why that way was chosen.
    pub backend: Backend,
    /// The code under test: `in-tree` or `kmod`.
    pub subject: String,
    /// `parallel` or `deterministic`.
    pub clock: String,
    /// Digest of the timeline, which each repetition of a deterministic run has too; none: nothing repeats it.
    #[serde(default)]
    pub digest: Option<String>,
    /// Whether the machine booted or was restored, and why.
    pub start: Start,
    /// Durations, milliseconds of host time.
    pub timing_ms: Timing,
    /// Folder with the run's evidence.
    pub run_dir: Option<PathBuf>,
    /// What the scenario expected beside the invariants, and what came.
    pub checks: Vec<Check>,
    /// What the load beside the updates reported.
    pub load: Vec<LoadReport>,
    /// What the run was made of.
    pub artifacts: Vec<Artifact>,
    /// Where the vCPUs were when the run hung.
    pub diagnosis: Option<Diagnosis>,
    /// What became of the holds that the scenario put on vCPUs.
    pub holds: Vec<HoldReport>,
    /// Seed of the schedule, when one was drawn.
    pub seed: Option<u64>,
    /// The defect of the kernel that the scenario describes, such as "finding 2"; none: it describes none.
    #[serde(default)]
    pub known_defect: Option<String>,
}

/// A way from SEAMCALL to firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// `tcg`, `kvm` or `hw`.
    pub name: String,
    /// Why it was chosen.
    pub reason: String,
}

/// How a machine came up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Start {
    /// `boot` or `snapshot`.
    pub from: String,
    /// Why so.
    pub reason: String,
}

impl Start {
    /// How [`Start::from`] names a restored machine.
    pub const SNAPSHOT: &str = "snapshot";

    /// Whether the machine was restored.
    pub fn is_restore(&self) -> bool {
        self.from == Self::SNAPSHOT
    }
}

/// Durations in milliseconds of host time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// From the machine's start to the agent's ready message, or to its first answer after a restore.
    pub boot: u64,
    /// All updates, from upload to outcome.
    pub update: u64,
    /// From the machine's start, or the start of its restore, to its judged end; 0: there was no such machine.
    #[serde(default)]
    pub machine: u64,
    /// The whole command.
    pub total: u64,
}

/// One expectation of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at, such as `module_after`.
    pub name: String,
    /// What the scenario expects.
    pub expected: String,
    /// What came.
    pub seen: String,
    /// Whether that is as expected.
    pub met: bool,
}

/// What became of one hold in one update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldReport {
    /// The update, from 1.
    pub update: u32,
    /// The LP that was to be held.
    pub lp: u16,
    /// Where, and until when.
    pub what: String,
    /// `satisfied`, `expired`, `never reached` or `not ended`.
    pub end: String,
    /// How long it lasted, microseconds of the machine's time.
    pub held_us: Option<u64>,
}

/// What one kind of load did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadReport {
    /// Name of the load.
    pub name: String,
    /// Its counters.
    pub counts: BTreeMap<String, u64>,
}

/// Something that a run was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// What it is, such as `qemu`, `kernel` or `initramfs`.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// SHA-256 in hexadecimal.
    pub sha256: Option<String>,
}

/// Where everything was when the guest stopped making progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// One line for people.
    pub summary: String,
    /// Each vCPU.
    pub cpus: Vec<CpuDiagnosis>,
    /// The emulated firmware's states and lock holders, in words.
    pub firmware: String,
    /// Tasks of the guest in uninterruptible sleep, where its agent could still tell.
    #[serde(default)]
    pub tasks: Vec<TaskDiagnosis>,
}

/// What a task of the guest waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDiagnosis {
    /// Its thread id in the guest.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its kernel stack, innermost first.
    pub stack: Vec<String>,
}

/// Where one vCPU was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuDiagnosis {
    /// The LP.
    pub lp: u16,
    /// The step it was in, and its last event.
    pub position: String,
    /// Its stack, symbolised, innermost first.
    pub stack: Vec<String>,
}

/// `verdict.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// [`VERDICT_VERSION`].
    pub version: u32,
    /// What the run came to.
    pub verdict: Outcome,
    /// What the run came to by itself, where the scenario expected that instead of a pass, so that `verdict` is `passed`.
    #[serde(default)]
    pub came_to: Option<Outcome>,
    /// Why, in one line; none when passed.
    pub reason: Option<String>,
    /// What to do about it, where the rig knows.
    pub remedy: Option<String>,
    /// The exit code that belongs to `verdict`.
    pub exit_code: u8,
    /// What the rig knows of the run.
    #[serde(flatten)]
    pub facts: Facts,
    /// Each invariant.
    pub invariants: BTreeMap<Invariant, Standing>,
    /// The updates in which each invariant held, by their numbers from 1. One that is about the run as a whole has no updates.
    #[serde(default)]
    pub held_in: BTreeMap<Invariant, Vec<u32>>,
    /// The machine was ended at the first breach, so that nothing is known of what would have followed.
    #[serde(default)]
    pub ended_at_breach: bool,
    /// The broken ones with their evidence.
    pub breaches: Vec<Breach>,
    /// The ones that could not be judged, and why.
    pub not_observed: Vec<NotObserved>,
    /// Leaves that the emulated firmware does not model but the guest called.
    pub unmodelled: Vec<Unmodelled>,
    /// How long things took, in guest time.
    pub statistics: Statistics,
    /// Events that were judged.
    pub events: u64,
}

impl Verdict {
    /// The verdict on a run that was judged.
    pub fn new(facts: Facts, findings: &Findings, end: &RunEnd) -> Self {
        let untrusted = findings.fault.as_ref().map(|fault| RunEnd::Lost { cause: fault.to_string() });
        let end = untrusted.as_ref().unwrap_or(end);
        let breaches = findings.breaches();
        let (verdict, reason) = decide(&facts, &breaches, findings.infrastructure.as_deref(), end);
        Self {
            version: VERDICT_VERSION,
            verdict,
            came_to: None,
            reason,
            remedy: None,
            exit_code: verdict.exit_code(),
            invariants: findings.invariants.iter().map(|(i, f)| (*i, f.standing())).collect(),
            held_in: findings.held_in(),
            ended_at_breach: *end == RunEnd::Stopped && !breaches.is_empty(),
            not_observed: findings.not_observed(),
            unmodelled: findings.unmodelled.clone(),
            statistics: findings.statistics.clone(),
            events: findings.events,
            breaches,
            facts,
        }
    }

    /// The verdict on a run that the rig could not make, or did not want to: nothing was judged.
    pub fn unjudged(facts: Facts, verdict: Outcome, reason: &str, remedy: Option<String>) -> Self {
        let why = format!("the run was not judged: {reason}");
        Self {
            version: VERDICT_VERSION,
            verdict,
            came_to: None,
            reason: Some(reason.to_string()),
            remedy,
            exit_code: verdict.exit_code(),
            facts,
            invariants: Invariant::ALL.into_iter().map(|i| (i, Standing::NotApplicable)).collect(),
            held_in: BTreeMap::new(),
            ended_at_breach: false,
            breaches: Vec::new(),
            not_observed: Invariant::ALL.map(|invariant| NotObserved { invariant, reason: why.clone() }).to_vec(),
            unmodelled: Vec::new(),
            statistics: Statistics::default(),
            events: 0,
        }
    }
}

/// A broken invariant outranks a hang or a crash unless it only says that there was one. What the host or the emulator did outranks all
/// but that and a hang, which is seen by what the machine did with the time that it had.
fn decide(facts: &Facts, breaches: &[Breach], infrastructure: Option<&str>, end: &RunEnd) -> (Outcome, Option<String>) {
    let says_no_more_than = |end: &RunEnd, i: Invariant| match end {
        RunEnd::Hung { .. } => i == Invariant::Progress,
        RunEnd::Crashed { .. } => matches!(i, Invariant::Progress | Invariant::QuietKernel),
        RunEnd::Finished | RunEnd::Stopped | RunEnd::Lost { .. } => false,
    };
    if let RunEnd::Lost { cause } = end {
        return (Outcome::RigError, Some(cause.clone()));
    }
    if let Some(breach) = breaches.iter().find(|b| !says_no_more_than(end, b.invariant)) {
        return (Outcome::Failed, Some(breach.summary()));
    }
    if let (Some(why), false) = (infrastructure, matches!(end, RunEnd::Hung { .. })) {
        return (Outcome::RigError, Some(why.to_string()));
    }
    match end {
        RunEnd::Hung { what } => (Outcome::Hung, Some(what.clone())),
        RunEnd::Crashed { what } => (Outcome::GuestCrashed, Some(what.clone())),
        RunEnd::Stopped => {
            (Outcome::RigError, Some("the run was stopped before its end, and no invariant broke".into()))
        }
        _ => match facts.checks.iter().find(|c| !c.met) {
            Some(c) => (Outcome::Failed, Some(format!("{}: expected {}, seen {}", c.name, c.expected, c.seen))),
            None => (Outcome::Passed, None),
        },
    }
}

impl Findings {
    /// The broken invariants, in the order of reports.
    pub fn breaches(&self) -> Vec<Breach> {
        let broken = |f: &Finding| if let Finding::Broken(b) = f { Some(b.as_ref().clone()) } else { None };
        self.invariants.values().filter_map(broken).collect()
    }

    /// The updates in which each invariant held.
    pub fn held_in(&self) -> BTreeMap<Invariant, Vec<u32>> {
        let held = |f: &Finding| if let Finding::Held { updates } = f { Some(updates.clone()) } else { None };
        self.invariants.iter().filter_map(|(i, f)| Some((*i, held(f)?))).collect()
    }

    /// The invariants that could not be judged.
    pub fn not_observed(&self) -> Vec<NotObserved> {
        let reason = |f: &Finding| if let Finding::NotApplicable { reason } = f { Some(reason.clone()) } else { None };
        self.invariants.iter().filter_map(|(i, f)| Some(NotObserved { invariant: *i, reason: reason(f)? })).collect()
    }
}
