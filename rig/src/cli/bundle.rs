//! `rig bundle`

use super::output;
use crate::bundle::collect;
use crate::explore::evidence::check_guest;
use crate::packed::archive;
use crate::trouble::Trouble;
use crate::whole_file;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig bundle runs/20261128-101010-plain         writes 20261128-101010-plain.tar.gz here
  cargo rig bundle RUN --out /tmp/lost-ack.tar.gz

The archive has the recording, the report, the verdict, the scenario without defaults and without
paths of this machine, the kernel's configuration, and a README.txt with three commands. The verdict
and the report still name the kernel's path.";

#[derive(Debug, clap::Args)]
pub(super) struct BundleArguments {
    /// Run folder
    run: PathBuf,
    /// The archive to write; it must not exist [default: the run folder's name with .tar.gz, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &BundleArguments) -> Result<u8, Trouble> {
    check_guest(&arguments.run)?;
    let run = arguments.run.canonicalize().map_err(|e| Trouble::file("use the run folder", &arguments.run, &e))?;
    let name = run.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    if out.exists() {
        let help = "name another file with --out, or remove this one";
        return Err(Trouble::usage(format!("{} is there already", out.display()), help));
    }
    let all = collect(&run)?;
    let bytes = archive(&name, &all).map_err(|e| Trouble::file("write", &out, &e))?;
    whole_file::create(&out, &bytes)?;
    let size_kb = bytes.len().div_ceil(1000);
    output::text_line(&format!("{}: {} files, {size_kb} KB", out.display(), all.len()));
    Ok(0)
}
