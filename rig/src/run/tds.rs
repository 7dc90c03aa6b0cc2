//! Trust domains that KVM runs in the guest: started, ended, and held against what they must come to.

use super::drive::{Drive, DriveError, Told, failed};
use crate::guest::GuestError;
use crate::scenario::Tds;
use crate::tds;
use rig_judge::verdict::{Check, LoadReport};
use rig_wire::agent::{Answer, Command};
use rig_wire::plan::Control;
use rig_wire::td::{ChurnReport, Placement, TdReport, Usage, VcpuReport};

/// TDs that are built and destroyed before the guest's memory is measured, so that its caches are filled.
const WARM_UP: u32 = 8;
/// Threads that make the cycles.
const CYCLE_THREADS: u32 = 2;
/// From so many cycles on, a leak of a page for each TD would stand out of what a guest's free memory varies by itself.
const MEASURABLE: u32 = 500;
/// A page, KiB.
const PAGE_KIB: u64 = 4;

/// What became of the trust domains.
#[derive(Debug, Default)]
pub(crate) struct TdsTold {
    /// Those that lived through the updates.
    reports: Vec<TdReport>,
    /// Those that came and went meanwhile.
    churn: Option<ChurnReport>,
    /// Those that came and went after the last update.
    cycles: Option<ChurnReport>,
    /// What the emulator counts when all are gone.
    usage: Option<Usage>,
    /// Free memory of the guest before and after the cycles, KiB.
    free_kib: Option<(u64, u64)>,
}

impl Drive<'_> {
    /// Builds the TDs and lets them run.
    pub(super) async fn start_tds(&self, told: &mut Told) -> Result<(), DriveError> {
        let Some(asked) = &self.scenario.tds else { return Ok(()) };
        if asked.count > 0 {
            let doing = format!("building {} trust domains", asked.count);
            self.ask(told, &doing, Command::StartTds { tds: tds::plans(asked) }).await?;
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
            self.cycle(told, asked, WARM_UP).await?;
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
        told.tds.usage = serde_json::from_str(&usage).ok();
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

    async fn free_kib(&self, told: &Told) -> Result<u64, DriveError> {
        let text = self.guest.read("/proc/meminfo").await.map_err(|error| failed(told, error))?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
        Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0))
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

/// What was asked of the TDs, and what came of it.
pub(super) fn checks(asked: &Tds, told: &TdsTold) -> Vec<Check> {
    let mut checks = Vec::new();
    if asked.count > 0 {
        checks.extend(lived(asked, &told.reports));
    }
    if let Some(report) = &told.churn {
        checks.extend(churned("TDs come and gone", asked, report));
        let any = format!("{} or more", u8::from(report.error.is_none()));
        checks.push(check("TDs completed", &any, if report.completed > 0 { &any } else { "none" }));
    }
    if let Some(report) = &told.cycles {
        checks.extend(churned("TDs in cycles", asked, report));
        let refused: u64 = report.refused.iter().map(|(_, times)| times).sum();
        let seen = report.completed + report.abandoned + refused;
        checks.push(check("cycles", &asked.cycles.to_string(), &seen.to_string()));
    }
    if let Some((before, after)) = told.free_kib.filter(|_| asked.cycles >= MEASURABLE) {
        let lost = before.saturating_sub(after);
        let bound = format!("less than a page for each TD ({} KiB)", u64::from(asked.cycles) * PAGE_KIB);
        let seen = if lost < u64::from(asked.cycles) * PAGE_KIB { bound.clone() } else { format!("{lost} KiB") };
        checks.push(check("guest memory lost", &bound, &seen));
    }
    let left = told.usage.as_ref().map_or("not counted".to_owned(), Usage::in_words);
    checks.push(check("left in the firmware", &Usage::default().in_words(), &left));
    checks
}

fn lived(asked: &Tds, reports: &[TdReport]) -> Vec<Check> {
    let vcpus = || reports.iter().flat_map(|td| &td.vcpus);
    let errors = vcpus().find_map(|vcpu| vcpu.error.clone());
    let ended = vcpus().filter(|vcpu| vcpu.error.is_none()).count();
    let mut checks = vec![
        check("vCPUs of TDs that ended", &(asked.count * asked.vcpus).to_string(), &ended.to_string()),
        check("TDs' hash chains", PREDICTED, &errors.unwrap_or_else(|| chains(reports))),
    ];
    if asked.placement == Placement::Migrating {
        let still = vcpus().filter(|vcpu| vcpu.moves == 0).count();
        checks.push(check("vCPUs of TDs that never moved", "0", &still.to_string()));
    }
    checks
}

const PREDICTED: &str = "as predicted";

/// Whether each vCPU says what it must; it says itself how many rounds it made.
fn chains(reports: &[TdReport]) -> String {
    for (td, report) in (0..).zip(reports) {
        for (vcpu, seen) in (0..).zip(&report.vcpus) {
            let Some(rounds) = seen.said.first().filter(|rounds| **rounds > 0) else {
                return format!("vCPU {vcpu} of TD {td} made no round");
            };
            if seen.said != tds::predict(td, vcpu, *rounds).words() {
                return format!("vCPU {vcpu} of TD {td} has another after {rounds} rounds");
            }
        }
    }
    PREDICTED.to_owned()
}

fn churned(name: &str, asked: &Tds, report: &ChurnReport) -> Vec<Check> {
    let expected = tds::churn_says(asked);
    let other = report.said.iter().any(|(said, _)| *said != expected);
    let seen = match &report.error {
        Some(error) => error.as_str(),
        None if other => "a TD has another hash chain",
        None => PREDICTED,
    };
    let words = |refused: bool| if refused { "some" } else { "none" };
    let refused = match report.refused.first() {
        Some((why, times)) if !asked.refusals => format!("{why} ({times} times)"),
        first => words(first.is_some()).to_owned(),
    };
    let mut checks =
        vec![check(name, PREDICTED, seen), check(&format!("{name}: refused"), words(asked.refusals), &refused)];
    if asked.abandon_every > 0 {
        let abandoned = words(report.abandoned > 0);
        checks.push(check(&format!("{name}: given up"), "some", abandoned));
    }
    checks
}

fn check(name: &str, expected: &str, seen: &str) -> Check {
    Check { name: name.into(), expected: expected.into(), seen: seen.into(), met: expected == seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(td: u64, rounds: u64) -> TdReport {
        TdReport { vcpus: vec![VcpuReport { said: tds::predict(td, 0, rounds).words(), ..VcpuReport::default() }] }
    }

    #[test]
    fn chains_are_held_against_the_prediction() {
        assert_eq!(chains(&[report(0, 3), report(1, 5)]), PREDICTED);
        assert!(chains(&[report(1, 3)]).contains("vCPU 0 of TD 0 has another"));
        assert!(chains(&[report(0, 0)]).contains("no round"));
    }

    #[test]
    fn a_leak_and_a_wrong_chain_are_no_pass() {
        let asked = Tds { cycles: MEASURABLE, ..Tds::default() };
        let completed = u64::from(MEASURABLE);
        let said = vec![(tds::churn_says(&asked), completed)];
        let sound = ChurnReport { completed, said, ..ChurnReport::default() };
        let told = |report: ChurnReport, usage, free_kib| TdsTold {
            reports: vec![super::tests::report(0, 1)],
            churn: None,
            cycles: Some(report),
            usage: Some(usage),
            free_kib: Some(free_kib),
        };
        let met = |told: &TdsTold| checks(&asked, told).iter().all(|check| check.met);
        assert!(met(&told(sound.clone(), Usage::default(), (100, 90))));
        assert!(!met(&told(sound.clone(), Usage { keyids: 1, ..Usage::default() }, (100, 90))));
        assert!(!met(&told(sound.clone(), Usage::default(), (9000, 50))));
        assert!(!met(&told(
            ChurnReport { said: vec![(vec![vec![1]], completed)], ..sound.clone() },
            Usage::default(),
            (0, 0)
        )));
        assert!(!met(&told(ChurnReport { completed: 9, ..sound.clone() }, Usage::default(), (0, 0))));
    }
}
