//! `rig show`

use super::output;
use crate::explore::evidence::check_guest;
use crate::trouble::Trouble;
use rig_judge::Verdict;
use rig_judge::report::{Look, terminal};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Run folder
    run: PathBuf,
    /// Show how the run was made, too: the backend and why it was chosen
    #[arg(short, long)]
    verbose: bool,
    /// Write the verdict as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    check_guest(&arguments.run)?;
    let verdict = read(&arguments.run)?;
    if arguments.json {
        output::json(&verdict);
    } else {
        print(&verdict, arguments.verbose);
    }
    Ok(0)
}

/// Prints a verdict for people. `verbose`: with how the run was made.
pub(super) fn print(verdict: &Verdict, verbose: bool) {
    let look = Look { verbose, ..Look::of(&std::io::stdout()) };
    output::text_line(terminal(verdict, look).trim_end());
}

fn read(run: &Path) -> Result<Verdict, Trouble> {
    let path = run.join("verdict.json");
    let help = "give the folder of a finished run, such as one under runs/";
    let bytes =
        std::fs::read(&path).map_err(|e| Trouble::usage(format!("cannot read {}: {e}", path.display()), help))?;
    serde_json::from_slice(&bytes).map_err(|e| Trouble::usage(format!("{} is no verdict: {e}", path.display()), help))
}
