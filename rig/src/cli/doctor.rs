//! `rig doctor`

use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(_arguments: &Arguments) -> Result<u8, Trouble> {
    Err(Trouble::usage("not yet", "wait"))
}
