//! `rig check`

use super::diff::{events_of, trouble};
use super::output;
use crate::trouble::{Exit, Trouble};
use rig_judge::{Checked, Finding, Invariant, RunEnd, Standing};
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
    let exit = exit_of(&checked);
    if arguments.json {
        output::json(&summary(&checked, exit));
    } else {
        print(&checked);
    }
    Ok(exit as u8)
}

fn exit_of(checked: &Checked) -> Exit {
    let broken = checked.findings.breaches().iter().any(|b| b.invariant != Invariant::Progress);
    match checked.end {
        RunEnd::Lost { .. } => Exit::Environment,
        _ if broken => Exit::Failed,
        RunEnd::Hung { .. } => Exit::Hung,
        RunEnd::Crashed { .. } => Exit::Crashed,
        RunEnd::Finished | RunEnd::Stopped if checked.findings.breaches().is_empty() => Exit::Passed,
        RunEnd::Finished | RunEnd::Stopped => Exit::Failed,
    }
}

fn summary(checked: &Checked, exit: Exit) -> serde_json::Value {
    let findings = &checked.findings.invariants;
    let standings: BTreeMap<Invariant, Standing> = findings.iter().map(|(i, f)| (*i, f.standing())).collect();
    serde_json::json!({
        "verdict": if exit == Exit::Passed { "passed" } else { "failed" },
        "exit_code": exit as u8,
        "invariants": standings,
        "breaches": checked.findings.breaches(),
        "not_observed": checked.findings.not_observed(),
        "events": checked.findings.events,
        "digest": checked.digest,
        "cut_short": checked.cut_short,
    })
}

fn print(checked: &Checked) {
    for (invariant, finding) in &checked.findings.invariants {
        let text = match finding {
            Finding::Held { .. } => format!("held            {invariant}"),
            Finding::Broken(breach) => format!("broken          {breach}"),
            Finding::NotApplicable { reason } => format!("not applicable  {invariant}: {reason}"),
        };
        output::text_line(&text);
    }
    output::text_line(&format!("{} events, digest {}", checked.findings.events, checked.digest));
    if checked.cut_short {
        output::text_line("the recording is cut short: the rig did not come to the run's end");
    }
}
