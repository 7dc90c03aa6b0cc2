//! `rig check`

use super::diff::{events_of, trouble};
use super::output;
use crate::trouble::{Exit, Trouble};
use rig_judge::{Checked, Finding, Invariant, RunEnd};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Run folder, or the events file in it
    events: PathBuf,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let events = events_of(&arguments.events);
    // The file of lines to which the events refer; without it the kernel's words are not judged.
    let log = Some(events.with_file_name("kmsg.log")).filter(|log| log.exists());
    let checked = rig_judge::check(&events, log.as_deref()).map_err(|e| trouble(&e))?;
    let conclusion = Conclusion::of(&checked);
    if arguments.json {
        output::json(&summary(&checked, &conclusion));
    } else {
        print(&checked, &conclusion);
    }
    Ok(conclusion.exit() as u8)
}

/// What a recording says of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Conclusion {
    /// It ends where the run ended, and nothing broke.
    Passed,
    /// An invariant broke.
    Failed,
    /// The guest made no progress.
    Hung,
    /// The guest's kernel crashed.
    Crashed,
    /// It does not say what became of the run, for this reason.
    NotJudged(String),
}

impl Conclusion {
    fn of(checked: &Checked) -> Self {
        let broken = checked.findings.breaches().iter().any(|b| b.invariant != Invariant::Progress);
        match &checked.end {
            RunEnd::Lost { cause } if cause.is_empty() => Self::NotJudged("the run ended by a fault of the rig".into()),
            RunEnd::Lost { cause } => Self::NotJudged(cause.clone()),
            _ if broken => Self::Failed,
            RunEnd::Hung { .. } => Self::Hung,
            RunEnd::Crashed { .. } => Self::Crashed,
            RunEnd::Finished | RunEnd::Stopped if !checked.findings.breaches().is_empty() => Self::Failed,
            _ if checked.cut_short => Self::NotJudged("the recording is cut short: the run's end is missing".into()),
            RunEnd::Stopped => Self::NotJudged("the run was stopped before its end, and nothing had broken".into()),
            RunEnd::Finished => Self::Passed,
        }
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Passed => Exit::Passed,
            Self::Failed => Exit::Failed,
            Self::Hung => Exit::Hung,
            Self::Crashed => Exit::Crashed,
            Self::NotJudged(_) => Exit::Environment,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Crashed => "guest-crashed",
            Self::NotJudged(_) => "not-judged",
        }
    }

    fn reason(&self) -> Option<&str> {
        if let Self::NotJudged(reason) = self { Some(reason) } else { None }
    }
}

fn summary(checked: &Checked, conclusion: &Conclusion) -> serde_json::Value {
    let findings = &checked.findings.invariants;
    let standings: BTreeMap<Invariant, rig_judge::Standing> =
        findings.iter().map(|(i, f)| (*i, f.standing())).collect();
    serde_json::json!({
        "verdict": conclusion.name(),
        "reason": conclusion.reason(),
        "exit_code": conclusion.exit() as u8,
        "invariants": standings,
        "breaches": checked.findings.breaches(),
        "not_observed": checked.findings.not_observed(),
        "events": checked.findings.events,
        "digest": checked.digest,
        "cut_short": checked.cut_short,
    })
}

fn print(checked: &Checked, conclusion: &Conclusion) {
    for (invariant, finding) in &checked.findings.invariants {
        let text = match finding {
            Finding::Held { .. } if conclusion.reason().is_some() => format!("not broken yet  {invariant}"),
            Finding::Held { .. } => format!("held            {invariant}"),
            Finding::Broken(breach) => format!("broken          {breach}"),
            Finding::NotApplicable { reason } => format!("not applicable  {invariant}: {reason}"),
        };
        output::text_line(&text);
    }
    output::text_line(&format!("{} events, digest {}", checked.findings.events, checked.digest));
    match conclusion.reason() {
        Some(reason) => output::text_line(&format!("not judged: {reason}")),
        None => output::text_line(conclusion.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const PLAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/judge/tests/data/in-tree-4.events.bin");
    const FAILED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/judge/tests/data/install-fails-4.events.bin");

    fn conclusion(events: &Path) -> Conclusion {
        Conclusion::of(&rig_judge::check(events, None).unwrap())
    }

    /// Length of the header: the records begin at the first multiple of 64 behind the setup.
    fn header(bytes: &[u8]) -> usize {
        let json = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        (16 + json).next_multiple_of(64)
    }

    /// What is said of these bytes as a recording.
    fn of_bytes(bytes: &[u8]) -> Conclusion {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events.bin");
        std::fs::write(&file, bytes).unwrap();
        conclusion(&file)
    }

    #[test]
    fn a_whole_recording_passes_and_exits_with_0() {
        let conclusion = conclusion(Path::new(PLAIN));
        assert_eq!((conclusion.exit(), conclusion.reason()), (Exit::Passed, None));
    }

    #[test]
    fn a_recording_without_its_end_is_not_judged() {
        let whole = std::fs::read(PLAIN).unwrap();
        let cuts = [header(&whole), header(&whole) + 64 * 100, whole.len() - 64, whole.len() - 1];
        for cut in cuts {
            let conclusion = of_bytes(&whole[..cut]);
            assert_eq!(conclusion.exit(), Exit::Environment, "{cut}: {conclusion:?}");
            assert!(conclusion.reason().is_some_and(|reason| !reason.is_empty()), "{cut}: {conclusion:?}");
            assert_eq!(conclusion.name(), "not-judged");
        }
    }

    /// The last record says how the run ended.
    fn conclusion_of(end: &RunEnd) -> Conclusion {
        let mut bytes = std::fs::read(PLAIN).unwrap();
        let at = bytes.len() - 64;
        let mut last = rig_wire::event::Record::from_bytes(&bytes[at..].try_into().unwrap());
        last.b = end.number();
        bytes[at..].copy_from_slice(&last.to_bytes());
        of_bytes(&bytes)
    }

    #[test]
    fn a_run_that_was_stopped_without_a_breach_is_not_judged() {
        assert_eq!(conclusion_of(&RunEnd::Finished), Conclusion::Passed);
        assert!(conclusion_of(&RunEnd::Stopped).reason().unwrap().contains("stopped before its end"));
        let lost = conclusion_of(&RunEnd::Lost { cause: String::new() });
        assert_eq!((lost.exit(), lost.name()), (Exit::Environment, "not-judged"));
        let hung = conclusion_of(&RunEnd::Hung { what: String::new() });
        assert_eq!((hung.exit(), hung.name()), (Exit::Hung, "hung"));
    }

    #[test]
    fn the_json_says_the_same_as_the_exit_code() {
        let checked = rig_judge::check(Path::new(FAILED), None).unwrap();
        let conclusion = Conclusion::NotJudged("x".into());
        let json = summary(&checked, &conclusion);
        assert_eq!((&json["verdict"], &json["reason"]), (&"not-judged".into(), &"x".into()));
        assert_eq!(json["exit_code"], 5);
    }
}
