//! A proof's report for people.

use crate::prove::OrderJudgement;
use rig_interleave::kernel::Subject;
use rig_interleave::report::{Report, Verdict};
use rig_interleave::{InitialState, Request};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is made of a counterexample.
pub(super) struct Refuted {
    /// The scenario that replays it.
    pub(super) scenario: Option<PathBuf>,
    /// Why there is none.
    pub(super) not_replayed: Option<String>,
    /// What the judge says; none if it cannot be asked.
    pub(super) judgement: Option<OrderJudgement>,
}

/// All of it.
pub(super) fn text(
    report: &Report,
    name: &str,
    seconds: f64,
    refuted: Option<&Refuted>,
    differing: Option<&[String]>,
) -> String {
    let mut text = heading(report, name, seconds);
    if let Some(finding) = &report.finding {
        let _ = writeln!(text, "\nbroken: {} ({})", finding.rule, finding.meaning);
        for step in finding.steps.iter().chain(&finding.note) {
            let _ = writeln!(text, "  {step}");
        }
    }
    text += &refuted.map_or_else(String::new, counterexample);
    if let Some(differing) = differing {
        list(&mut text, "what the certificate says otherwise", differing.iter().cloned());
    }
    list(&mut text, "rules", report.rules.iter().map(|rule| format!("{}: {}", rule.name, rule.meaning)));
    let coverage = report.coverage.iter();
    let rows = coverage.map(|row| format!("{} {} of {}", row.function, row.executed, row.instructions));
    list(&mut text, "instructions executed", rows);
    let replaced = report.contracts.iter().map(|row| format!("{} {}: {}", row.function, row.effect, row.reason));
    list(&mut text, "functions that are replaced, not executed", replaced);
    list(&mut text, "reductions", report.reductions.iter().map(|row| format!("{}: {}", row.name, row.argument)));
    list(&mut text, "assumptions", report.assumptions.iter().cloned());
    text.trim_end().to_owned()
}

fn heading(report: &Report, name: &str, seconds: f64) -> String {
    let failing = if report.failures.is_empty() { "no SEAMCALL fails" } else { "one SEAMCALL may fail" };
    let heading = match report.verdict {
        Verdict::Holds => "HOLDS",
        Verdict::Refuted => "REFUTED",
    };
    format!(
        "{heading}  {name}, {}{} CPUs, {failing}, {} memory\n  {} states, {} transitions, {} ends, {seconds:.1} s, {} MiB of tables\n",
        subject(&report.request),
        report.cpus,
        report.memory_model,
        report.states,
        report.transitions,
        report.ends,
        report.table_bytes.div_ceil(1 << 20),
    )
}

/// Which code, and from where on, if that is not the usual.
fn subject(request: &Request) -> String {
    let subject = match request.subject {
        Subject::InTree => "",
        Subject::KmodLock => "the update module with a lock, ",
        Subject::KmodAtomic => "the update module with atomic counters, ",
    };
    let state = if request.state == InitialState::Elf { "from its ELF file, " } else { "" };
    let before = if request.after_failed { "after a failed update, " } else { "" };
    format!("{subject}{state}{before}")
}

/// What the judge says of the counterexample, and how to see it on a machine.
fn counterexample(refuted: &Refuted) -> String {
    let Refuted { scenario, not_replayed, judgement } = refuted;
    let mut text = String::from("\n");
    match judgement {
        None => text += "the judge: not asked, since it knows no store buffers or not this kernel\n",
        Some(judgement) => {
            let what = judgement.broken.map_or("nothing is broken".into(), |name| format!("{name} is broken"));
            let how = match judgement.agrees {
                Some(true) => "as here",
                Some(false) => "WHICH IS NOT WHAT THE PROOF FOUND; please report this",
                None => "it has no such rule",
            };
            let _ = writeln!(text, "the judge: {what} ({how}): {}", judgement.why);
        }
    }
    if let Some(path) = scenario {
        let _ = writeln!(text, "see it:    cargo rig run {}", path.display());
    }
    if let Some(why) = not_replayed {
        let _ = writeln!(text, "there is no scenario of it: {why}");
    }
    text
}

fn list(text: &mut String, heading: &str, rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    let _ = writeln!(text, "\n{heading}:{}", if rows.is_empty() { " none" } else { "" });
    for row in rows {
        let _ = writeln!(text, "  {row}");
    }
}
