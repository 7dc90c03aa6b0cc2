//! Writes the reports of imitated runs, to look at: `cargo run -p rig-judge --example gallery -- DIR`.

use rig_judge::UpdateFigures;
use rig_judge::report::{html, perfetto};
use rig_judge::scene::Scene;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::verdict::{Backend, Timing};
use rig_judge::{Attempt, AttemptOutcome, Facts, Outcome, Step, Verdict};
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    std::fs::create_dir_all(&dir)?;
    let gallery = [
        ("plain-4", Synthetic::plain(4, 1)),
        ("plain-16", Synthetic::plain(16, 2)),
        ("plain-128", Synthetic::plain(128, 1)),
        ("early-4", Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update()),
        ("failed-16", Synthetic::new(16).boot().fault(Leaf::INSTALL, 5, 0x8000_0000_0002_0001).update()),
        ("load-8", Synthetic::new(8).boot().tds(4).load().update().load()),
        ("unlocked-8", Synthetic::new(8).seed(3).boot().update().twist(Twist::UnlockedAck).update()),
        ("hung-4", Synthetic::new(4).boot().twist(Twist::NeverReturns(Step::CpuInstall)).update()),
    ];
    for (name, run) in gallery {
        let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
        let (findings, _) = run.judge();
        let mut facts = facts(name, &run);
        facts.attempts = findings.statistics.updates.iter().map(attempt).collect();
        facts.module_after = facts.attempts.last().and_then(|attempt| attempt.to.clone());
        let mut verdict = Verdict::new(facts, &findings, &run.end);
        if name.starts_with("early") {
            // As a scenario that expects the breach.
            (verdict.came_to, verdict.verdict, verdict.reason) = (Some(verdict.verdict), Outcome::Passed, None);
        }
        std::fs::write(dir.join(format!("{name}.html")), html(&scene, &verdict))?;
        std::fs::write(dir.join(format!("{name}.pftrace")), perfetto(&scene, &verdict))?;
    }
    Ok(())
}

fn facts(name: &str, run: &Synthetic) -> Facts {
    Facts {
        scenario: name.into(),
        cpus: run.setup.lps,
        updates: 1,
        module_before: Some("1.5.06".into()),
        kernel: Some("7.3.4 (imitated)".into()),
        backend: Backend { name: "none".into(), reason: "an imitation".into() },
        subject: "in-tree".into(),
        clock: "simulated".into(),
        timing_ms: Timing { boot: 2900, update: 80, machine: 3100, total: 3500 },
        ..Facts::default()
    }
}

fn attempt(figures: &UpdateFigures) -> Attempt {
    let failed_call = figures.failed_call.clone();
    let is_lost = failed_call.is_some();
    Attempt {
        number: figures.update,
        from: Some(format!("1.5.{:02}", 5 + figures.update)),
        to: (!is_lost).then(|| format!("1.5.{:02}", 6 + figures.update)),
        outcome: if is_lost { AttemptOutcome::Lost } else { AttemptOutcome::Done },
        error: is_lost.then(|| "transferring:firmware-invalid".into()),
        failed_call,
        tds_lost: 0,
    }
}
