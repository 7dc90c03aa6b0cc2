//! `rig diff`

use super::output;
use crate::trouble::{Exit, Trouble};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Run folder, or the events file in it
    left: PathBuf,
    /// The run to compare it with
    right: PathBuf,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Like diff(1): 0 when the timelines are the same, 1 when they differ.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let (left, right) = (events_of(&arguments.left), events_of(&arguments.right));
    let comparison = rig_judge::compare(&left, &right).map_err(|e| trouble(&e))?;
    if arguments.json {
        output::json(&comparison);
    } else {
        output::text_line(comparison.to_string().trim_end());
    }
    let exit = if comparison.first.is_none() { Exit::Passed } else { Exit::Failed };
    Ok(exit as u8)
}

/// The events file that a path means.
pub(super) fn events_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("events.bin") } else { path.to_owned() }
}

/// A recording that cannot be read is the caller's to mend.
pub(super) fn trouble(error: &rig_judge::timeline::EventsError) -> Trouble {
    let text = error.to_string();
    let (cause, help) = text.split_once("\nremedy: ").unwrap_or((&text, "give a run folder or its events.bin"));
    Trouble::usage(cause, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/judge/tests/data/");

    fn diff(left: &str, right: &str) -> Result<u8, Trouble> {
        let path = |name: &str| PathBuf::from(format!("{DATA}{name}"));
        run(&Arguments { left: path(left), right: path(right), json: false })
    }

    #[test]
    fn a_run_is_the_same_as_itself_and_not_as_another() {
        let (plain, failed) = ("in-tree-4.events.bin", "install-fails-4.events.bin");
        assert_eq!(diff(plain, plain), Ok(0));
        assert_eq!(diff(plain, failed), Ok(1));
    }

    #[test]
    fn a_folder_without_a_recording_is_the_callers_mistake() {
        let trouble = diff("in-tree-4.events.bin", "").unwrap_err();
        assert_eq!(trouble.exit, Exit::Usage);
        assert!(trouble.cause.contains("events.bin") && !trouble.help.is_empty(), "{trouble:?}");
    }
}
