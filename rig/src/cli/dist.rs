//! `rig dist`

use super::output;
use crate::dist;
use crate::trouble::Trouble;
use rig_images::{Images, Progress};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder for the files.
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    out: PathBuf,
    /// Make a Debian package, too.
    #[arg(long)]
    deb: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let images = Images::open(Progress::stderr())?;
    let all = dist::collect(&images)?;
    for path in dist::write(&all, &arguments.out, arguments.deb)? {
        output::text_line(&path.display().to_string());
    }
    Ok(0)
}
