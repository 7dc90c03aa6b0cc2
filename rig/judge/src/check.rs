//! The oracle on a recorded timeline.

use crate::examination::{Examination, Examined};
use crate::timeline::{EventsError, EventsReader};
use crate::{Findings, RunEnd};
use rig_wire::event::{Kind, Mark, Record};
use std::path::Path;

/// A recorded run, judged again.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The same findings as while the run was under way.
    pub findings: Findings,
    /// How it ended.
    pub end: RunEnd,
    /// The timeline's digest.
    pub digest: String,
    /// The file ends in the middle of a record, or without the run's end: the rig was killed, or the file was cut. Unless an
    /// invariant broke before, [`Findings::fault`] says so, too.
    pub cut_short: bool,
}

/// Judges an events file. `console` is the file of lines to which its console records refer; without it, `quiet-kernel` is
/// not judged.
pub fn check(events: &Path, console: Option<&Path>) -> Result<Checked, EventsError> {
    let console = console.map(read_lines).transpose()?;
    let reader = EventsReader::open(events)?;
    let mut examination = Examination::new(reader.setup().clone());
    let (mut end, mut missing) = (None, None);
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(EventsError::Truncated { .. }) => break,
            Err(error) => return Err(error),
        };
        if let (Some(how), None) = (run_end(&record), &end) {
            examination.run_end(&record);
            end = Some(how);
            continue;
        }
        let line = console.as_ref().and_then(|lines| lines.get(record.a as usize));
        if record.kind == Kind::Console as u16 && console.is_some() && line.is_none() {
            missing.get_or_insert(record);
        }
        examination.record(&record, line.map(String::as_str));
    }
    let cut_short = end.is_none();
    if cut_short {
        examination.cut_short();
    } else if let Some(record) = missing {
        examination.line_missing(&record);
    }
    let Examined { findings, end, digest } = examination.finish(&end.unwrap_or(RunEnd::Stopped));
    Ok(Checked { findings, end, digest, cut_short })
}

/// The lines of a console file.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<String>, EventsError> {
    let bytes = std::fs::read(path).map_err(|source| EventsError::Io { path: path.into(), source })?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect())
}

fn run_end(record: &Record) -> Option<RunEnd> {
    let is_end = record.kind == Kind::Mark as u16 && record.a == Mark::RunEnd as u64;
    is_end.then(|| RunEnd::from_number(record.b))
}

impl RunEnd {
    /// Its number in a [`Mark::RunEnd`] record.
    pub const fn number(&self) -> u64 {
        match self {
            Self::Finished => 1,
            Self::Stopped => 2,
            Self::Hung { .. } => 3,
            Self::Crashed { .. } => 4,
            Self::Lost { .. } => 5,
        }
    }

    /// The inverse of [`RunEnd::number`], without the words; a number that is not known here is a lost run.
    pub fn from_number(number: u64) -> Self {
        let what = String::new();
        match number {
            1 => Self::Finished,
            2 => Self::Stopped,
            3 => Self::Hung { what },
            4 => Self::Crashed { what },
            _ => Self::Lost { cause: what },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_end_is_told_by_its_number() {
        let (what, cause) = (String::new(), String::new());
        let ends = [
            RunEnd::Finished,
            RunEnd::Stopped,
            RunEnd::Hung { what: what.clone() },
            RunEnd::Crashed { what },
            RunEnd::Lost { cause: cause.clone() },
        ];
        for (number, end) in (1..).zip(ends) {
            assert_eq!((end.number(), RunEnd::from_number(number)), (number, end));
        }
        assert_eq!(RunEnd::from_number(6), RunEnd::Lost { cause });
    }
}
