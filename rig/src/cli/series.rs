//! `rig series`

use super::output;
use super::series_flags::SeriesFlags;
use crate::series::{self, Listener, PatchRow, Patches, ScenarioResult, SeriesReport, SeriesRequest};
use crate::trouble::Trouble;
use crate::whole_file;
use rig_images::Progress;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig series my.mbox                            an mbox, on the rig's own kernel
  cargo rig series outgoing/ --scenario plain         the *.patch files of a folder
  cargo rig series my.mbox --kernel-source ~/linux    on the HEAD of your git tree
  cargo rig series --git ~/linux v7.3..my-branch      the commits of your git tree
  cargo rig series --git ~/linux v7.3..HEAD --tip-only    for `git bisect run`
  cargo rig series patches/ --each-alone --json       each alone on the base; JSON on stdout

Each patch is compared with the kernel before it. The same command again goes on where it was
stopped. Nobody's tree is changed.

Exit codes: 0 no patch is worse; 1 one is; 125 none is worse, but one does not apply, does not
build or was not judged, or the rig failed.";

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct SeriesArguments {
    /// An mbox, a mail or diff, or a folder with files named *.patch
    #[arg(required_unless_present_any = ["git", "b4"], conflicts_with_all = ["git", "b4"])]
    patches: Option<PathBuf>,
    /// The commits of a range of a git tree
    #[arg(long, num_args = 2, value_names = ["TREE", "BASE..TIP"], conflicts_with = "b4")]
    git: Option<Vec<String>>,
    /// Apply the patches on the HEAD of this git tree [default: the rig's own source, Linux 7.3]
    #[arg(long, value_name = "TREE", conflicts_with = "git")]
    kernel_source: Option<PathBuf>,
    /// Try each patch alone on the base, and not on those before it
    #[arg(long, conflicts_with = "git")]
    each_alone: bool,
    /// Build and judge the base and the last state only
    #[arg(long)]
    tip_only: bool,
    /// Be a check of b4's: read one mail on standard input, look for its commit in the git tree of the current folder, and print a
    /// line for each thing that is wrong
    #[arg(long, conflicts_with = "json")]
    b4: bool,
    #[command(flatten)]
    common: SeriesFlags,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &SeriesArguments) -> Result<u8, Trouble> {
    if arguments.b4 {
        return Ok(check_for_b4(arguments));
    }
    let progress = Progress::stderr();
    let patches = match (&arguments.git, &arguments.patches) {
        (Some(git), _) => Patches::Range { tree: PathBuf::from(&git[0]), range: git[1].clone() },
        (None, Some(path)) => Patches::Files(path.clone()),
        (None, None) => unreachable!("clap demands one"),
    };
    let request = request(arguments, patches, arguments.common.folder()?)?;
    let on_result = |title: &str, result: &ScenarioResult| {
        progress.say(&format!("{}: {}  ({title})", result.scenario, result.words()));
    };
    let on_row = |row: &PatchRow, number: usize| {
        if !arguments.json {
            output::text_line(&series::line(row, number));
        }
    };
    let step = progress.step("series", 0);
    let report = series::series(&request, &Listener { progress: &progress, on_result: &on_result }, on_row)?;
    step.done();
    write(&request.out, &report)?;
    let exit = report.exit() as u8;
    if arguments.json {
        output::json(&serde_json::json!({ "exit_code": exit, "report": report, "folder": request.out }));
    } else {
        let page = request.out.join("series.html");
        output::text_line(&format!("\n{}\nreport: {}", series::end(&report), page.display()));
    }
    Ok(exit)
}

fn request(arguments: &SeriesArguments, patches: Patches, out: PathBuf) -> Result<SeriesRequest, Trouble> {
    let (scenarios, left_out) = arguments.common.scenarios()?;
    Ok(SeriesRequest {
        out,
        patches,
        kernel_source: arguments.kernel_source.clone(),
        each_alone: arguments.each_alone,
        tip_only: arguments.tip_only,
        scenarios,
        left_out,
        room: arguments.common.room(),
    })
}

/// The report's files.
fn write(out: &Path, report: &SeriesReport) -> Result<(), Trouble> {
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value).expect("plain data") + "\n";
    let files = [
        ("series.html", series::html(report)),
        ("series.txt", series::table(report) + "\n"),
        ("series.json", json(&serde_json::json!(report))),
        ("ktap.txt", series::ktap(report)),
        ("kcidb.json", json(&series::kcidb(report))),
    ];
    for (name, text) in files {
        let path = out.join(name);
        whole_file::replace(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Trouble of the rig is a warning: b4 takes all of standard error, and an exit code without a line, for failure of the patch.
fn check_for_b4(arguments: &SeriesArguments) -> u8 {
    match b4_lines(arguments) {
        Ok((lines, exit)) => {
            for line in &lines {
                output::text_line(line);
            }
            exit
        }
        Err(trouble) => {
            output::text_line(&format!("WARNING: not judged: {} ({})", trouble.cause, trouble.help));
            crate::trouble::Exit::Untestable as u8
        }
    }
}

fn b4_lines(arguments: &SeriesArguments) -> Result<(Vec<String>, u8), Trouble> {
    let mut mail = Vec::new();
    let read = std::io::stdin().read_to_end(&mut mail);
    read.map_err(|e| Trouble::file("read", Path::new("standard input"), &e))?;
    let silent = Progress::silent();
    let out = arguments.common.folder_in_cache()?;
    let patches = series::of_mail(Path::new("."), &mail, &out)?;
    let mut request = request(arguments, patches, out)?;
    request.kernel_source = Some(PathBuf::from("."));
    let report = series::series(&request, &Listener { progress: &silent, on_result: &|_, _| () }, |_, _| ())?;
    Ok((series::b4(&report), report.exit() as u8))
}
