//! `rig doctor`

use super::output;
use crate::doctor::{self, DoctorReport, Item, State};
use crate::trouble::Trouble;
use rig_images::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Try KVM again, in place of what was found earlier since this machine was booted
    #[arg(long)]
    try_kvm: bool,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let report = doctor::examine(&Progress::stderr(), arguments.try_kvm)?;
    if arguments.json {
        output::json(&report);
    } else {
        output::text_line(&text(&report));
    }
    Ok(report.exit() as u8)
}

fn text(report: &DoctorReport) -> String {
    let lines: Vec<String> = report.items.iter().map(line).collect();
    format!("{}\nbackend  {}: {}", lines.join("\n"), report.backend, report.backend_reason)
}

/// An item, with what mends it beneath.
pub(super) fn line(item: &Item) -> String {
    let sign = match item.state {
        State::Good => "ok",
        State::Note => "note",
        State::Missing => "FAIL",
    };
    let mend = item.mend.as_ref().map(|m| format!("\n         {m}")).unwrap_or_default();
    format!("{sign:<7}  {}: {}{mend}", item.name, item.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_what_mends_it() {
        let missing = Item {
            name: "tools",
            state: State::Missing,
            found: "no cc".into(),
            mend: Some("apt-get install gcc".into()),
        };
        assert_eq!(line(&missing), "FAIL     tools: no cc\n         apt-get install gcc");
        let good = Item { name: "cores", state: State::Good, found: "2".into(), mend: None };
        assert_eq!(line(&good), "ok       cores: 2");
    }
}
