//! Trust domains that KVM runs in the guest: started, ended, and what became of them.

use super::drive::{Drive, DriveError, Told, failed};
use crate::guest::GuestError;
use crate::scenario::Tds;
use crate::tds;
use rig_judge::verdict::LoadReport;
use rig_wire::agent::{Answer, Command};
use rig_wire::plan::Control;
use rig_wire::td::{ChurnReport, TdReport, Usage, VcpuReport};

/// TDs that are built and destroyed before the guest's memory is measured, so that its caches are filled.
const WARM_UP: u32 = 8;
/// Threads that make the cycles.
const CYCLE_THREADS: u32 = 2;

/// What became of the trust domains.
#[derive(Debug, Default)]
pub(crate) struct TdsTold {
    /// Why those that were to live through the updates could not all be built.
    pub(super) not_built: Option<String>,
    /// Those that lived through the updates.
    pub(super) reports: Vec<TdReport>,
    /// Those that came and went meanwhile.
    pub(super) churn: Option<ChurnReport>,
    /// Those that came and went before the cycles, so that the guest's caches are filled.
    pub(super) warm_up: Option<ChurnReport>,
    /// Those that came and went after the last update.
    pub(super) cycles: Option<ChurnReport>,
    /// What the emulator counts when all are gone, or why it does not say.
    pub(super) usage: Option<Result<Usage, String>>,
    /// Free memory of the guest before and after the cycles, KiB; none: the guest does not tell.
    pub(super) free_kib: Option<(Option<u64>, Option<u64>)>,
}

impl Drive<'_> {
    /// Builds the TDs and lets them run.
    pub(super) async fn start_tds(&self, told: &mut Told) -> Result<(), DriveError> {
        let Some(asked) = &self.scenario.tds else { return Ok(()) };
        if asked.count > 0 {
            let doing = format!("building {} trust domains", asked.count);
            // That KVM refuses one is an outcome, like that of an update.
            match self.ask(told, &doing, Command::StartTds { tds: tds::plans(asked) }).await {
                Err(DriveError::Guest { error: GuestError::Failed(refusal), .. }) => {
                    told.tds.not_built = Some(refusal.what);
                }
                built => _ = built?,
            }
        }
        if asked.churn > 0 {
            let churn = tds::churn(asked, asked.churn, None);
            self.ask(told, "starting the churn of trust domains", Command::StartChurn { churn }).await?;
        }
        Ok(())
    }

    /// Ends the churn, makes the cycles beside the TDs that live on, ends those, and counts what is left.
    pub(super) async fn end_tds(&self, told: &mut Told) -> Result<(), DriveError> {
        let Some(asked) = &self.scenario.tds else { return Ok(()) };
        if asked.churn > 0 {
            let doing = "ending the churn of trust domains";
            told.tds.churn = Some(self.churn(told, doing, false).await?);
        }
        if asked.cycles > 0 {
            told.tds.warm_up = Some(self.cycle(told, asked, WARM_UP).await?);
            let before = self.free_kib(told).await?;
            told.tds.cycles = Some(self.cycle(told, asked, asked.cycles).await?);
            told.tds.free_kib = Some((before, self.free_kib(told).await?));
        }
        if asked.count > 0 {
            told.tds.reports = match self.ask(told, "ending the trust domains", Command::StopTds).await? {
                Answer::Tds(reports) => reports,
                other => return Err(failed(told, GuestError::Unexpected(Box::new(other)))),
            };
        }
        let usage = self.emulator.ask(&Control::TdUsage).await?;
        told.tds.usage = Some(serde_json::from_str(&usage).map_err(|e| format!("the emulator said \"{usage}\": {e}")));
        Ok(())
    }

    async fn cycle(&self, told: &mut Told, asked: &Tds, number: u32) -> Result<ChurnReport, DriveError> {
        let doing = format!("building, running and destroying {number} trust domains");
        let churn = tds::churn(asked, CYCLE_THREADS, Some(number));
        self.ask(told, &doing, Command::StartChurn { churn }).await?;
        self.churn(told, &doing, true).await
    }

    async fn churn(&self, told: &mut Told, doing: &str, when_done: bool) -> Result<ChurnReport, DriveError> {
        match self.ask(told, doing, Command::StopChurn { when_done }).await? {
            Answer::Churn(report) => Ok(report),
            other => Err(failed(told, GuestError::Unexpected(Box::new(other)))),
        }
    }

    async fn free_kib(&self, told: &Told) -> Result<Option<u64>, DriveError> {
        let text = self.guest.read("/proc/meminfo").await.map_err(|error| failed(told, error))?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
        Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()))
    }
}

impl TdsTold {
    /// How much they did.
    pub(super) fn loads(&self) -> Vec<LoadReport> {
        let vcpus = || self.reports.iter().flat_map(|td| &td.vcpus);
        let sum = |count: fn(&VcpuReport) -> u64| vcpus().map(count).sum();
        let lived = [
            ("rounds", sum(|vcpu| vcpu.said.first().copied().unwrap_or(0))),
            ("map_gpa", sum(|vcpu| vcpu.exits.map_gpa)),
            ("io", sum(|vcpu| vcpu.exits.io)),
            ("wakes", sum(|vcpu| vcpu.wakes)),
            ("moves", sum(|vcpu| vcpu.moves)),
        ];
        let lived = (!self.reports.is_empty()).then(|| load("kvm-tds", lived));
        let churned = [("kvm-td-churn", &self.churn), ("kvm-td-cycles", &self.cycles)];
        let churned = churned.into_iter().filter_map(|(name, churn)| {
            let churn = churn.as_ref()?;
            let refused = churn.refused.iter().map(|(_, times)| times).sum();
            Some(load(name, [("completed", churn.completed), ("abandoned", churn.abandoned), ("refused", refused)]))
        });
        lived.into_iter().chain(churned).collect()
    }
}

fn load<const N: usize>(name: &str, counts: [(&str, u64); N]) -> LoadReport {
    LoadReport { name: name.into(), counts: counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect() }
}
