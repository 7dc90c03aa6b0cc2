//! Writes the reports of imitated runs, to look at: `cargo run -p rig-judge --example gallery -- DIR`.

use rig_judge::report::{html, perfetto};
use rig_judge::scene::Scene;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::verdict::{Backend, Timing};
use rig_judge::{Facts, Verdict};
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
    ];
    for (name, run) in gallery {
        let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
        let verdict = Verdict::new(facts(name, &run), &run.judge().0, &run.end);
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
        module_after: Some("1.5.07".into()),
        kernel: Some("7.3.4 (imitated)".into()),
        backend: Backend { name: "none".into(), reason: "an imitation".into() },
        subject: "in-tree".into(),
        clock: "simulated".into(),
        timing_ms: Timing { boot: 2900, update: 80, machine: 3100, total: 3500 },
        ..Facts::default()
    }
}
