//! What an acknowledgement costs: the same update with both, at several numbers of CPUs.

mod plot;

pub(crate) use plot::plot;

use crate::run::{self, Options};
use crate::scenario::{Ack, Scenario};
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::passage::{Passage, passages};
use rig_judge::{Outcome, Step};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

/// The passages of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    cpus: u32,
    ack: Ack,
    passages: Vec<Passage>,
}

/// Passages of one acknowledgement at one number of CPUs: from the last acknowledgement until all CPUs left the step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AckRow {
    pub(crate) cpus: u32,
    pub(crate) ack: &'static str,
    /// How many there were.
    pub(crate) passages: usize,
    /// One in ten was shorter, microseconds.
    pub(crate) p10_us: f64,
    /// The median, microseconds.
    pub(crate) p50_us: f64,
    /// One in ten was longer, microseconds.
    pub(crate) p90_us: f64,
    /// The median for each step, microseconds.
    pub(crate) steps_us: BTreeMap<&'static str, f64>,
}

/// Runs a scenario, which must pass, and reads its passages.
pub(crate) fn measure(scenario: Scenario, ack: Ack, folder: &Path, progress: &Progress) -> Result<Measured, Trouble> {
    let cpus = scenario.cpus;
    let options = Options { out: Some(folder.to_owned()), keep: true, ..Options::default() };
    let total = Instant::now();
    let verdict = run::run(run::prepare(scenario, &options, progress)?, total, progress)?;
    let help = format!("look at the run with `cargo rig show {}`", folder.display());
    if verdict.verdict != Outcome::Passed {
        let cause = format!("an update with ack={} on {cpus} CPUs did not pass", ack.parameter());
        return Err(Trouble::environment(cause, help));
    }
    let passages = passages(&folder.join("events.bin")).map_err(|e| Trouble::environment(e.to_string(), help))?;
    Ok(Measured { cpus, ack, passages })
}

/// One row for each number of CPUs and acknowledgement.
pub(crate) fn summarise(measured: &[Measured]) -> Vec<AckRow> {
    let mut groups: BTreeMap<(u32, &str), Vec<Passage>> = BTreeMap::new();
    for Measured { cpus, ack, passages } in measured {
        groups.entry((*cpus, ack.parameter())).or_default().extend(passages);
    }
    let row = |((cpus, ack), passages): ((u32, &'static str), Vec<Passage>)| {
        let all = sorted_us(passages.iter());
        let step = |step: Step| {
            let own = sorted_us(passages.iter().filter(|p| p.step == step));
            (!own.is_empty()).then(|| (step.name(), quantile(&own, 0.5)))
        };
        AckRow {
            cpus,
            ack,
            passages: all.len(),
            p10_us: quantile(&all, 0.1),
            p50_us: quantile(&all, 0.5),
            p90_us: quantile(&all, 0.9),
            steps_us: Step::ALL.into_iter().filter_map(step).collect(),
        }
    };
    groups.into_iter().filter(|(_, passages)| !passages.is_empty()).map(row).collect()
}

fn sorted_us<'a>(passages: impl Iterator<Item = &'a Passage>) -> Vec<f64> {
    let mut all: Vec<u64> = passages.map(|p| p.leave_ns).collect();
    all.sort_unstable();
    // Exact up to 2^53 ns, which is 104 days.
    #[allow(clippy::cast_precision_loss, reason = "no passage takes 104 days")]
    all.into_iter().map(|ns| ns as f64 / 1000.0).collect()
}

/// The value below which this share lies, of a sorted list that is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "an index into a list of some thousands")]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}

/// A Markdown table for people.
pub(crate) fn table(rows: &[AckRow]) -> String {
    let steps: Vec<&str> = Step::ALL[1..5].iter().map(|step| step.name()).collect();
    let mut text = format!("| CPUs | ack | passages | p10 µs | median µs | p90 µs | {} |\n", steps.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(6 + steps.len()));
    for row in rows {
        let own = steps.iter().map(|step| row.steps_us.get(step).map_or("-".into(), |us| format!("{us:.0}")));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {} |",
            row.cpus,
            row.ack,
            row.passages,
            row.p10_us,
            row.p50_us,
            row.p90_us,
            own.collect::<Vec<_>>().join(" | ")
        );
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn rows() -> Vec<AckRow> {
        let passage = |update, leave_ns| Passage { update, step: Step::CpuInstall, acks_ns: 1, leave_ns };
        let run = |cpus, ack, factor| Measured {
            cpus,
            ack,
            passages: (1..=5).map(|n| passage(n, u64::from(n) * factor)).collect(),
        };
        summarise(&[run(4, Ack::Lock, 1000), run(2, Ack::Lock, 500), run(4, Ack::Lock, 1000), run(4, Ack::Atomic, 800)])
    }

    #[test]
    fn runs_of_one_kind_are_one_row() {
        let rows = rows();
        let keys: Vec<_> = rows.iter().map(|r| (r.cpus, r.ack, r.passages)).collect();
        assert_eq!(keys, [(2, "lock", 5), (4, "atomic", 5), (4, "lock", 10)]);
        assert_eq!((rows[2].p10_us, rows[2].p50_us, rows[2].p90_us), (1.0, 3.0, 5.0));
        assert_eq!(rows[1].steps_us, BTreeMap::from([("CPU_INSTALL", 2.4)]));
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let table = table(&rows());
        assert_eq!(table.lines().count(), 5);
        assert!(table.contains("| 4 | atomic | 5 | 1 | 2 | 4 | - | 2 | - | - |"), "{table}");
    }
}
