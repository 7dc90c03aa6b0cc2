//! What people and their tools see of a run.

mod ended_at_breach;
mod headline;
mod html;
mod junit;
mod ktap;
mod perfetto;
mod rows;
mod terminal;

pub use headline::Headline;
pub use html::{html, self_contained};
pub use junit::junit;
pub use ktap::ktap;
pub use perfetto::perfetto;
pub use terminal::{Look, terminal};

use crate::Setup;
use crate::finding::Standing;
use crate::scene::Scene;
use crate::verdict::Verdict;
use crate::{Breach, Invariant};
use rig_wire::event::Record;

/// All files of a finished run's folder that show its verdict, by name: `verdict.json`, `verdict.txt`, `junit.xml`,
/// `ktap.txt`, `trace.pftrace` and `report.html`.
pub fn files(
    setup: &Setup,
    records: impl IntoIterator<Item = Record>,
    console: &[String],
    verdict: &Verdict,
) -> Vec<(&'static str, Vec<u8>)> {
    let scene = Scene::of(setup, records, console);
    let json = serde_json::to_string_pretty(verdict).expect("a verdict is plain data") + "\n";
    vec![
        ("verdict.json", json.into_bytes()),
        ("verdict.txt", terminal(verdict, Look { verbose: true, ..Look::PLAIN }).into_bytes()),
        ("junit.xml", junit(verdict).into_bytes()),
        ("ktap.txt", ktap(verdict).into_bytes()),
        ("trace.pftrace", perfetto(&scene, verdict)),
        ("report.html", html(&scene, verdict).into_bytes()),
    ]
}

impl Verdict {
    /// How an invariant stands.
    pub fn standing(&self, invariant: Invariant) -> Standing {
        self.invariants.get(&invariant).copied().unwrap_or(Standing::NotApplicable)
    }

    /// The breach of an invariant.
    pub fn breach(&self, invariant: Invariant) -> Option<&Breach> {
        self.breaches.iter().find(|b| b.invariant == invariant)
    }

    /// Why an invariant could not be judged.
    pub fn why_not_observed(&self, invariant: Invariant) -> Option<&str> {
        self.not_observed.iter().find(|n| n.invariant == invariant).map(|n| n.reason.as_str())
    }
}
