//! What the judge knows of a run before its first event.

use crate::Invariant;
use rig_wire::plan::{Function, Watch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the judge is told at the start. It stands at the head of an events file, so that a run can be judged again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Logical processors of the platform, offline ones included; LPs are numbered from 0.
    pub lps: u16,
    /// LPs that are online when the first event is recorded.
    pub online: Vec<u16>,
    /// The LP on which the steps of one CPU run.
    pub lead: u16,
    /// Watched words, in the plan's order: [`rig_wire::event::Kind::Watch`] counts them by place.
    pub watches: Vec<Watch>,
    /// Watched functions, in the plan's order.
    pub functions: Vec<Function>,
    /// What the subject calls the things that the judge looks for.
    pub subject: SubjectNames,
    /// How long a step may take, in guest time; none: not judged by time.
    pub step_budget_ms: Option<u64>,
    /// What the scenario's load must show.
    pub load: LoadDemands,
    /// Console lines that contain one of these are expected and do not break `quiet-kernel`.
    pub expected_console: Vec<String>,
    /// SEAMCALLs are seen by probes around the kernel's functions for them, as on a real host, and not at the instruction. Then
    /// one call may lie inside another on the same LP: an interrupt came behind the first one's probe, or its thread moved.
    #[serde(default)]
    pub is_probed: bool,
    /// Every call of `set_online_function` since the machine's start is recorded with its arguments, so that the online set is
    /// known. Otherwise the kernel's own count of CPUs decides how many must take part.
    #[serde(default)]
    pub knows_online: bool,
    /// Invariants that whoever records this run cannot observe completely, and why: they are never found to hold. That one
    /// of them broke can still be seen.
    #[serde(default)]
    pub unobservable: BTreeMap<Invariant, String>,
}

/// Names that a subject gives to the words and functions of its state machine. They refer to [`Watch::name`] and
/// [`Function::name`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectNames {
    /// `in-tree` or `kmod`.
    pub subject: String,
    /// The function that every CPU runs inside `stop_machine`.
    pub install_function: String,
    /// The `stop_machine` thread function around it.
    pub stop_function: String,
    /// The function through which a CPU becomes online or offline: `void f(unsigned int cpu, bool online)`.
    pub set_online_function: String,
    /// The word that holds the current step.
    pub state: String,
    /// The word that counts acknowledgements of the current step.
    pub num_ack: String,
    /// The word that counts CPUs that failed.
    pub num_failed: String,
    /// Whether acknowledgements are counted under a lock, so that the counter must say how many there were; else they are
    /// counted by atomic operations, whose records may come in another order.
    pub counts_acks_under_lock: bool,
    /// The word that counts online CPUs, as the install function reads it.
    pub num_online: String,
}

impl SubjectNames {
    /// Linux 7.3's `arch/x86/virt/vmx/tdx/seamldr.c`.
    pub fn in_tree() -> Self {
        Self {
            subject: "in-tree".into(),
            install_function: "do_seamldr_install_module".into(),
            stop_function: "multi_cpu_stop".into(),
            set_online_function: "set_cpu_online".into(),
            state: "update_ctrl.state".into(),
            num_ack: "update_ctrl.num_ack".into(),
            num_failed: "update_ctrl.num_failed".into(),
            counts_acks_under_lock: true,
            num_online: "__num_online_cpus".into(),
        }
    }

    /// `guest-kmod/lockstep.c`: the same words in the same order under the module's own names.
    pub fn kmod(counts_acks_under_lock: bool) -> Self {
        Self {
            subject: "kmod".into(),
            install_function: "lockstep_run".into(),
            state: "lockstep.step".into(),
            num_ack: "lockstep.num_ack".into(),
            num_failed: "lockstep.num_failed".into(),
            counts_acks_under_lock,
            ..Self::in_tree()
        }
    }

    /// The engine `notifier` of `guest-kmod/engine.c`: CPUs are called for each step. None of them stays in a function from the
    /// first step to the last, and no word says which step it is, so its SEAMCALLs are all that is judged.
    pub fn kmod_by_calls() -> Self {
        let none = String::new;
        Self { install_function: none(), state: none(), num_ack: none(), num_failed: none(), ..Self::kmod(true) }
    }
}

/// What the load beside the updates must have shown by the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadDemands {
    /// LPs inside the module at once, from process and from interrupt context.
    pub concurrency: bool,
    /// Every TD virtual CPU that ran before an update runs again after it.
    pub tds_run_again: bool,
}

impl Setup {
    /// A setup with `lps` LPs, all online, CPU 0 in the lead, nothing watched and nothing demanded of the load.
    pub fn new(lps: u16, subject: SubjectNames) -> Self {
        Self {
            lps,
            online: (0..lps).collect(),
            lead: 0,
            watches: Vec::new(),
            functions: Vec::new(),
            subject,
            step_budget_ms: None,
            load: LoadDemands::default(),
            expected_console: Vec::new(),
            is_probed: false,
            knows_online: false,
            unobservable: BTreeMap::new(),
        }
    }
}
