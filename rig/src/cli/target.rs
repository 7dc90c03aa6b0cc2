//! What is run under many schedules: the flags that the commands for races share.

use crate::run::{self, Options, Sessions};
use crate::scenario::{Ack, Clock, Scenario, Subject, Twin};
use crate::trouble::Trouble;
use rig_images::Progress;
use std::path::{Path, PathBuf};

/// CPU time without progress after which a schedule counts as hung, seconds, unless the scenario says otherwise: an
/// update takes a tenth of a second. On a deterministic clock the guest's time decides: where the host ended a hang, on some of the
/// repetitions, there was no digest to compare.
const STALL_CPU_S: u32 = 3;

/// The same on a deterministic clock, microseconds of the guest: longer than the holds that are drawn may last.
const STALL_GUEST_US: u32 = 10_000;

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct MachineFlags {
    /// vCPUs of the machine (1 to 512)
    #[arg(long, value_name = "N")]
    pub(super) cpus: Option<u32>,
    /// A kernel of your own: a build tree, or a bzImage with its System.map beside it; or the rig's as `profile:debug`,
    /// `profile:kcsan` or `profile:rt`
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// What time is for the machine: the host's clock, or counted instructions, which repeat a run bit for bit
    #[arg(long, value_enum)]
    clock: Option<Clock>,
    /// The code under test
    #[arg(long, value_enum)]
    subject: Option<Subject>,
    /// How the subject `kmod` acknowledges a step
    #[arg(long, value_enum)]
    ack: Option<Ack>,
    /// A deliberate error of the subject `kmod`, which the judge must find
    #[arg(long, value_enum)]
    twin: Option<Twin>,
    /// A QEMU of your own (11.1 or later, with plugins)
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
}

impl MachineFlags {
    /// The scenario with the flags over it, as a base for schedules: one update, no holds of its own. Returns the holds
    /// that it had.
    pub(super) fn apply(&self, mut scenario: Scenario) -> Result<(Scenario, Vec<crate::scenario::HoldSpec>), Trouble> {
        scenario.cpus = self.cpus.unwrap_or(scenario.cpus);
        scenario.kernel = self.kernel.clone().or(scenario.kernel);
        scenario.clock = self.clock.unwrap_or(scenario.clock);
        scenario.subject = self.subject.unwrap_or(scenario.subject);
        scenario.ack = self.ack.or(scenario.ack);
        scenario.twin = self.twin.or(scenario.twin);
        let rooms = crate::explore::explorer::UPDATES_PER_GUEST;
        scenario.platform.remaining_updates.get_or_insert(rooms);
        if scenario.clock == Clock::Parallel {
            scenario.budget.stall_cpu_s.get_or_insert(STALL_CPU_S);
        }
        let longest_ms = scenario.holds.iter().map(|hold| hold.limit_ms).max().unwrap_or(0);
        scenario.budget.stall_guest_us.get_or_insert(STALL_GUEST_US.saturating_add(longest_ms.saturating_mul(1000)));
        scenario.check().map_err(|cause| Trouble::usage(cause, "change the flag, or the scenario file"))?;
        if let Some(key) = not_repeated(&scenario) {
            let cause = format!("the scenario has `{key}`, and under schedules only updates and loads are made");
            return Err(Trouble::usage(cause, "leave that out, or run the scenario as it is with `rig run`"));
        }
        let holds = std::mem::take(&mut scenario.holds);
        for hold in &holds {
            hold.check(scenario.cpus, scenario.updates).map_err(|cause| Trouble::usage(cause, "change the hold"))?;
        }
        scenario.updates = 1;
        Ok((scenario, holds))
    }

    /// Prepares machines for the scenario; what they share lies in `folder`, which is made anew.
    pub(super) fn sessions(&self, scenario: Scenario, folder: &Path, progress: &Progress) -> Result<Sessions, Trouble> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|e| Trouble::file("renew", folder, &e))?;
        }
        let options = Options { out: Some(folder.to_owned()), qemu: self.qemu.clone(), ..Options::default() };
        let prepared = run::prepare(scenario, &options, progress)?;
        Sessions::new(prepared, progress)
    }
}

/// What the scenario has that no guest under schedules would do.
fn not_repeated(scenario: &Scenario) -> Option<&'static str> {
    let keys = [
        ("switch", !scenario.switches.is_empty()),
        ("during", !scenario.during.is_empty()),
        ("tds", scenario.tds.is_some()),
        ("hw", !scenario.hw.is_empty()),
        ("client", !scenario.clients.is_empty()),
        ("nested", scenario.nested.is_some()),
    ];
    keys.into_iter().find_map(|(key, is_there)| is_there.then_some(key))
}
