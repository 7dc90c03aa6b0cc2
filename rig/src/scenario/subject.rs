//! The code under test and its variants.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The code under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// `arch/x86/virt/vmx/tdx/seamldr.c` of Linux 7.2 and later, through `tdx-host.ko`
    #[default]
    InTree,
    /// `guest-kmod/tdx_update.ko`
    Kmod,
}

/// How CPUs acknowledge a step of the update kernel module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// Counters under a raw spinlock, as in the in-tree code
    Lock,
    /// Atomic counters, as in `multi_cpu_stop()`
    Atomic,
}

/// How the update kernel module keeps others out and brings all CPUs in (`guest-kmod/engine.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// `stop_machine()`, as in the in-tree code
    StopMachine,
    /// SEAMCALLs are readers, the update is the writer: a demonstration
    Rwlock,
    /// A lock on entries to guests, and a kick of all that are in guests: a demonstration
    Kick,
    /// Users of SEAMCALL are told before and after, and each step is a call to all CPUs: a demonstration
    Notifier,
}

impl Engine {
    /// The module parameter's value.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::StopMachine => "stop_machine",
            Self::Rwlock => "rwlock",
            Self::Kick => "kick",
            Self::Notifier => "notifier",
        }
    }
}

/// A deliberate error of the update kernel module (`guest-kmod/twins.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Twin {
    /// The step advances when one CPU has yet to acknowledge it
    EarlyAdvance,
    /// The counter is reset after the new step is seen
    LateReset,
    /// The counter is incremented without a lock or an atomic operation
    LostAck,
    /// A CPU acknowledges, then works
    AckBeforeWork,
    /// The last CPU acknowledges and never works
    MissingCpu,
    /// All CPUs do the lead's steps
    LeadEverywhere,
    /// The steps run with interrupts enabled
    InterruptsOn,
    /// A CPU's failure is acknowledged like success
    FailureIgnored,
    /// The uploader is told of success, whatever happened
    SwallowedFailure,
    /// P-SEAMLDR is called without its lock
    NoLoaderLock,
    /// The last CPU reads metadata between its LP.INIT and the end
    ForeignSeamcall,
    /// The last CPU installs twice
    DoubleInstall,
    /// CPUs remember that they were initialised, for the old module
    StaleInitFlag,
    /// The CPUs that take part are chosen before hotplug is locked out
    NoHotplugLock,
    /// LP.INIT comes before INSTALL
    SwappedSteps,
    /// Only one CPU goes through the steps
    OneCpu,
    /// The last CPU never acknowledges INSTALL
    NeverAcks,
}

impl Ack {
    /// The module parameter's value.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Atomic => "atomic",
        }
    }
}

impl Twin {
    /// The module parameter's value.
    pub fn parameter(self) -> String {
        self.to_possible_value().expect("no twin is hidden").get_name().to_owned()
    }

    /// The invariant that it breaks. Where an error breaks several in the end, it is the one that the judge, who follows the
    /// run event by event, sees first.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::EarlyAdvance
            | Self::LateReset
            | Self::LostAck
            | Self::AckBeforeWork
            | Self::NoHotplugLock
            | Self::OneCpu => "lockstep",
            Self::MissingCpu | Self::DoubleInstall | Self::StaleInitFlag | Self::SwappedSteps => "participation",
            Self::LeadEverywhere => "lead-only",
            Self::InterruptsOn => "interrupts-off",
            Self::FailureIgnored | Self::SwallowedFailure => "stop-on-failure",
            Self::NoLoaderLock => "serial-loader",
            Self::ForeignSeamcall => "update-only",
            Self::NeverAcks => "progress",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The module's own table.
    const TABLE: &str = include_str!("../../../guest-kmod/twins.c");

    #[test]
    fn the_rig_and_the_module_know_the_same_twins() {
        let row = |line: &'static str| {
            let row = line.trim_start().strip_prefix("[TWIN_")?.split_once("{ \"")?.1;
            row.strip_suffix("\" },")?.split_once("\", \"")
        };
        let in_module: Vec<(&str, &str)> = TABLE.lines().filter_map(row).collect();
        let names: Vec<String> = Twin::value_variants().iter().map(|twin| twin.parameter()).collect();
        let here: Vec<(&str, &str)> =
            names.iter().zip(Twin::value_variants()).map(|(name, twin)| (name.as_str(), twin.breaks())).collect();
        assert_eq!(here, in_module);
    }

    #[test]
    fn flags_and_files_use_the_same_names() {
        #[derive(Serialize)]
        struct File {
            ack: Ack,
            twin: Twin,
        }
        for twin in Twin::value_variants() {
            let text = toml::to_string(&File { ack: Ack::Atomic, twin: *twin }).unwrap();
            assert_eq!(text, format!("ack = \"{}\"\ntwin = \"{}\"\n", Ack::Atomic.parameter(), twin.parameter()));
        }
    }
}
