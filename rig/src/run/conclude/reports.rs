//! Every file that shows a verdict.

use crate::run::folder::{EVENTS, KERNEL_LOG};
use crate::run::record::description::RunDescription;
use crate::trouble::Trouble;
use rig_judge::timeline::EventsReader;
use rig_judge::{Verdict, report};

/// Every file that shows the verdict. Pictures are drawn from the recorded events, to the last one that was recorded.
pub(super) fn write_reports(run: &RunDescription, verdict: &Verdict) -> Result<(), Trouble> {
    let log = std::fs::read(run.folder.file(KERNEL_LOG)).unwrap_or_default();
    let console: Vec<String> = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
    let events = run.folder.file(EVENTS);
    let files = match EventsReader::open(&events) {
        Ok(reader) => {
            let setup = reader.setup().clone();
            report::files(&setup, reader.map_while(Result::ok), &console, verdict)
        }
        Err(_) => report::files(&run.setup, [], &console, verdict),
    };
    files.into_iter().try_for_each(|(name, bytes)| run.folder.write(name, bytes))
}
