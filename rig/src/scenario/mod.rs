//! A scenario: one test as data. What it says is what is run; flags of the command line change the data, not the code.

mod budget;
pub mod catalogue;
mod check;
mod claim;
mod client;
mod demands;
mod ending;
mod expect;
mod fault;
mod hold;
mod hw;
pub(crate) mod kernel;
mod leaf;
mod machine;
mod parse;
mod schema;
mod shape;
mod subject;
mod tds;
mod template;
mod wording;

pub use budget::Budget;
pub use check::MAX_CPUS;
pub use claim::{Claim, ClaimEdit};
pub use client::{Brought, ClientOrder, Userspace};
pub use demands::Demands;
pub use ending::{Endings, UpdateEnding, UploadError};
pub use expect::{Ending, Expect, Leaked, TdRefusal};
pub use fault::FaultSpec;
pub use hold::{HoldSpec, HoldStart, Location, Place, Since, UntilSpec};
pub use hw::HwOrder;
pub use machine::{Backend, Clock};
#[cfg(test)]
pub(crate) use parse::load;
pub use parse::{from_file, from_text};
pub use schema::schema;
pub use shape::{Shape, ShapeWords};
pub use subject::{Ack, Engine, Subject, Twin};
pub use tds::{TdGuest, Tds};
pub use template::commented;

use rig_judge::Invariant;
use rig_wire::agent::Load;
use schemars::JsonSchema;
use seam_emu::image::{ImageSpec, Mutation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One test as data; the form of a scenario file (TOML).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name in kebab-case; names the run folder.
    pub name: String,
    /// One sentence: why this scenario exists.
    #[serde(default)]
    pub why: String,
    /// The suites that it belongs to; `full` has all of `quick`, and `night` all of `full`.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// vCPUs of the machine, 1 to [`MAX_CPUS`].
    #[serde(default = "default_cpus")]
    pub cpus: u32,
    /// Updates to make, one after another, 0 to 1000.
    #[serde(default = "default_updates")]
    pub updates: u32,
    /// Whether updates go on after one that failed: what a person does who tries again.
    #[serde(default)]
    pub keep_going: bool,
    /// CPUs that are switched off or on, in this order, before the first update or after the last.
    #[serde(default, rename = "switch", skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<CpuSwitch>,
    /// Guest memory, MiB; absent: by the number of vCPUs.
    #[serde(default)]
    pub memory_mib: Option<u32>,
    /// A kernel of one's own: a build tree, or a bzImage with its System.map beside it; for the subject `kmod` also Debian's own,
    /// as `debian:6.12`; absent: the rig's.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
    /// More configuration of the rig's kernel, each line as in a `.config`: it is built with that, and kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kconfig: Vec<String>,
    /// More arguments for the kernel's command line.
    #[serde(default)]
    pub kernel_arguments: String,
    /// What the kernel calls the parts of its update, where the rig does not know it; absent: the rig looks for the names it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// The code under test.
    #[serde(default)]
    pub subject: Subject,
    /// How the subject `kmod` acknowledges a step; absent: as its module does by itself.
    #[serde(default)]
    pub ack: Option<Ack>,
    /// How the subject `kmod` brings all CPUs in; absent: as its module does by itself.
    #[serde(default)]
    pub engine: Option<Engine>,
    /// The deliberate error of the subject `kmod`; absent: none.
    #[serde(default)]
    pub twin: Option<Twin>,
    /// More parameters of the module of the subject `kmod`, as for insmod: for what no other key says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub module_parameters: String,
    /// What another program attempts while the first update is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub during: Vec<During>,
    /// How SEAMCALLs reach the emulated firmware.
    #[serde(default)]
    pub backend: Backend,
    /// What time is for the machine.
    #[serde(default)]
    pub clock: Clock,
    /// Loads in the guest that run during the updates.
    #[serde(default)]
    pub load: Vec<Load>,
    /// Trust domains that Linux's KVM builds and runs; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tds: Option<Tds>,
    /// The module that is loaded when the machine starts: the name of a generation, or a table.
    #[serde(default)]
    pub module: ImageSpec,
    /// What the updates upload.
    #[serde(default)]
    pub image: UpdateImage,
    /// Faults of the emulated firmware.
    #[serde(default)]
    pub faults: Vec<FaultSpec>,
    /// The emulated platform, where it differs from the default.
    #[serde(default)]
    pub platform: Platform,
    /// What the program for real TDX hosts does, in place of `updates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hw: Vec<HwOrder>,
    /// A part of Debian in the guest, for `client`; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userspace: Option<Userspace>,
    /// Programs that are not the rig's and that make the updates, in place of `updates`.
    #[serde(default, rename = "client", skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientOrder>,
    /// vCPUs that are held at places, to force an order of events.
    #[serde(default, rename = "hold", skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldSpec>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
    /// How long it may make no progress.
    #[serde(default)]
    pub budget: Budget,
    /// Scenarios that are run inside a virtual machine, in place of this one; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Nested>,
    /// What somebody claims of the kernel and this scenario would show, for `rig claim`; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// Scenarios that the rig runs inside a virtual machine in which KVM works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nested {
    /// The outer machine's kernel, one of Debian's, as `debian:7.3`.
    pub kernel: String,
    /// Whether `rig doctor` must find KVM in there.
    #[serde(default)]
    pub doctor: bool,
    /// Names of those that go on from a snapshot, of one machine that is booted for all of them; the others boot.
    #[serde(default)]
    pub warm: Vec<String>,
    /// Invariants that must be seen held, by the name of the scenario.
    #[serde(default)]
    pub held: BTreeMap<String, Vec<Invariant>>,
    /// What is run, one after another.
    pub scenarios: Vec<Scenario>,
}

/// A suite of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// Seconds each: what a developer runs.
    Quick,
    /// The whole catalogue but for what takes minutes: what continuous integration runs.
    Full,
    /// Everything.
    Night,
}

/// A CPU that is switched off or on through its `online` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CpuSwitch {
    /// Its number; 0 stays online always.
    pub cpu: u32,
    /// Where it goes.
    pub to: CpuState,
    /// When.
    pub when: Moment,
    /// The errno with which the kernel must refuse; absent: it must do it.
    #[serde(default)]
    pub errno: Option<i32>,
}

/// An attempt while an update is under way, which must be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct During {
    /// What is tried.
    pub act: Act,
    /// The errno with which it must be refused.
    pub errno: i32,
}

/// What is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Another upload to the same device.
    Upload,
    /// To remove the subject's module.
    Unload,
}

/// What a CPU is switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuState {
    /// The kernel uses it.
    Online,
    /// The kernel does not.
    Offline,
}

impl CpuState {
    /// Its name in scenarios and reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// When a CPU is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before the first update and before the loads start.
    Before,
    /// While the first update is under way. The kernel may let the switch wait until the update is over.
    During,
    /// While the first update is under way, as soon as a CPU is held by a `[[hold]]` of that update.
    Held,
    /// After the last update and after the loads stopped.
    After,
}

impl Moment {
    /// Whether that is while an update is under way.
    pub(crate) fn is_in_update(self) -> bool {
        matches!(self, Self::During | Self::Held)
    }
}

/// What the updates upload. By default update number n brings the first module with its update version raised by n.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateImage {
    /// This file as it is, good or bad, instead of an image of the rig's making.
    pub file: Option<PathBuf>,
    /// What is wrong with the images.
    pub mutation: Option<Mutation>,
    /// The first update's image, where it differs from the first module in more than its version.
    pub spec: Option<ImageSpec>,
    /// What each update brings, one after another, each the name of a generation or a table; absent: as `spec` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ImageSpec>,
}

/// The emulated platform, where it differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Platform {
    /// Updates that the SEAM database has room for; absent: the firmware's default.
    pub remaining_updates: Option<u32>,
    /// TDX KeyIDs, one of them the module's own; absent: the firmware's default.
    pub tdx_keyids: Option<u32>,
    /// How long SEAMCALLs last, by leaf; absent: no longer than their emulation.
    pub durations: seam_emu::Durations,
    /// `IA32_VMX_BASIC` bit 60 clear: SEAMRET from P-SEAMLDR clears the current VMCS (an erratum).
    pub seamret_clears_vmcs: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "plain".into(),
            why: "An unmodified kernel updates its TDX module; all CPUs move in lockstep.".into(),
            tags: Vec::new(),
            cpus: default_cpus(),
            updates: default_updates(),
            keep_going: false,
            switches: Vec::new(),
            module_parameters: String::new(),
            during: Vec::new(),
            memory_mib: None,
            kernel: None,
            kconfig: Vec::new(),
            kernel_arguments: String::new(),
            shape: None,
            subject: Subject::default(),
            ack: None,
            engine: None,
            twin: None,
            backend: Backend::default(),
            clock: Clock::default(),
            load: Vec::new(),
            tds: None,
            module: ImageSpec::default(),
            image: UpdateImage::default(),
            faults: Vec::new(),
            platform: Platform::default(),
            hw: Vec::new(),
            userspace: None,
            clients: Vec::new(),
            holds: Vec::new(),
            expect: Expect::default(),
            budget: Budget::default(),
            nested: None,
            claim: None,
        }
    }
}

impl Scenario {
    /// What of this scenario only the plugin can do; none: a shim in the guest will do.
    pub fn needs_plugin(&self) -> Option<&'static str> {
        let only_seamcalls = |hold: &HoldSpec| {
            let is_seamcall = |place: &Place| matches!(place, Place::Seamcall { .. });
            match &hold.until {
                UntilSpec::Passed { passes, .. } => is_seamcall(&hold.at) && is_seamcall(passes),
                UntilSpec::Instructions { .. } => false,
                UntilSpec::Time { .. } => is_seamcall(&hold.at),
            }
        };
        if self.subject == Subject::InTree {
            Some(
                "KVM is not possible for the in-tree subject: the kernel makes SEAMCALLs during boot, before the KVM shim \
                 module can be loaded",
            )
        } else if self.clock == Clock::Deterministic {
            Some("the deterministic clock counts instructions, which KVM does not")
        } else if !self.holds.iter().all(only_seamcalls) {
            Some("CPUs can be held on KVM at SEAMCALLs only, until another passes one or for a time")
        } else if self.platform.seamret_clears_vmcs {
            Some("a guest of KVM has no VMCS that SEAMRET could clear")
        } else if self.load.iter().any(|load| matches!(load, Load::TrustDomain { .. })) {
            Some("scripted trust domains take KeyIDs from the CPU, which has none on KVM")
        } else {
            None
        }
    }

    /// Whether machine code runs in its trust domains.
    pub(crate) fn has_machine_code(&self) -> bool {
        self.tds.as_ref().is_some_and(|tds| tds.guest == TdGuest::Code)
    }

    /// Guest memory in MiB: what the scenario says, else enough for a small system and each CPU's share.
    pub fn memory_mib(&self) -> u32 {
        self.memory_mib.unwrap_or(512 + 8 * self.cpus)
    }
}

const fn default_cpus() -> u32 {
    4
}

const fn default_updates() -> u32 {
    1
}
