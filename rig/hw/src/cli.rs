//! The commands, as `cargo rig hw` and `rig-hw` have them.

use crate::change::{self, Wish};
use crate::check::{Condition, Standing, conditions, is_ready};
use crate::facts::Facts;
use crate::host::Host;
use crate::journal;
use crate::load::PROFILES;
use crate::trouble::Trouble;
use crate::version::Version;
use clap::{Args, Subcommand};
use rig_judge::report::{Look, terminal};
use rig_judge::{Outcome, Verdict};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// What the help shows.
pub const EXAMPLES: &str = "\
Examples (as root, on the TDX host):
  rig-hw check                                       what the host has, what it lacks, what mends it
  rig-hw update --mapping mapping_file.json          dry run: the newest image that fits, and why
  rig-hw update --mapping mapping_file.json --yes    update, observe, judge
  rig-hw update --to 1.5.24 --mapping mapping_file.json --yes
  rig-hw update --image tdx_module_1.5.24.blob --yes
  rig-hw stress --updates 5 --for 10m --load reader,cpu-hog --mapping mapping_file.json --yes
  rig-hw journal                                     what was done, and what was under way

Exit codes: 0 passed (or a dry run that found nothing against it), 1 an invariant broke or an update failed,
2 usage, 5 this host does not allow it, 6 refused because it would be unsafe.";

/// `rig hw ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum HwCommand {
    /// Say what this host has, what it lacks, and what mends it. Changes nothing.
    Check(Output),
    /// Update the TDX module once, under observation. A dry run without --yes.
    Update(UpdateArguments),
    /// Update again and again, beneath loads. Stops before the last remaining update. A dry run without --yes.
    Stress(StressArguments),
    /// Show what was done on this host, and what was under way when a command was cut short.
    Journal(Output),
}

/// How it is said.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Output {
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What every change can be told.
#[derive(Clone, Debug, PartialEq, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Change {
    /// Upload this image.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Go to this version; with --image, the version that the image is.
    #[arg(long, value_name = "VERSION")]
    to: Option<Version>,
    /// Choose by this mapping file of the release repository; images lie beside it or in `joined_files`.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Do it. Without this it is only said what would be done.
    #[arg(long)]
    yes: bool,
    /// Do it although trust domains run.
    #[arg(long)]
    with_tds: bool,
    /// Use up the last remaining update: the next one needs a reboot before.
    #[arg(long)]
    last: bool,
    /// Do it although a condition or a published rule is against it. This can lose the TDX module.
    #[arg(long)]
    force: bool,
    /// Do it although nothing can be observed: no invariant is judged then.
    #[arg(long)]
    blind: bool,
    /// Folder for the evidence [default: one under /var/lib/seamrig/runs].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// `rig hw update`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct UpdateArguments {
    #[command(flatten)]
    change: Change,
}

/// `rig hw stress`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct StressArguments {
    /// Updates to make, at most.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    updates: u32,
    /// Begin no update later than this (such as 10m).
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    within: Option<Duration>,
    /// Loads beside the updates, separated by commas: reader, cpu-hog, page-fault, timer, clocksource, hotplug.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(PROFILES.map(|(name, _)| name)))]
    load: Vec<String>,
    #[command(flatten)]
    change: Change,
}

/// Runs a command on this machine; the exit code is the process's.
pub fn run(command: &HwCommand) -> u8 {
    run_on(&Host::this(), command)
}

fn run_on(host: &Host, command: &HwCommand) -> u8 {
    let (json, result) = match command {
        HwCommand::Check(output) => (output.json, Ok(check(host, output.json))),
        HwCommand::Journal(output) => (output.json, Ok(show_journal(host, output.json))),
        HwCommand::Update(arguments) => (arguments.change.output.json, update(host, arguments)),
        HwCommand::Stress(arguments) => (arguments.change.output.json, stress(host, arguments)),
    };
    result.unwrap_or_else(|trouble| {
        eprintln!("{trouble}");
        if json {
            let exit_code = trouble.exit as u8;
            println!(
                "{}",
                json!({ "verdict": "refused", "reason": trouble.cause, "remedy": trouble.help, "exit_code": exit_code })
            );
        }
        trouble.exit as u8
    })
}

fn check(host: &Host, json: bool) -> u8 {
    let mut all = conditions(&Facts::of(host));
    all.extend(journal::unfinished(host).as_ref().map(cut_short));
    let ready = is_ready(&all);
    if json {
        println!("{}", json!({ "ready": ready, "conditions": all }));
    } else {
        all.iter().for_each(show);
        println!("{}", if ready { "\nready for an update" } else { "\nnot ready for an update" });
    }
    if ready { 0 } else { crate::Exit::Host as u8 }
}

/// A command that ended in the middle, as one more condition.
fn cut_short(entry: &journal::Entry) -> Condition {
    Condition {
        name: "last command",
        standing: Standing::Weak,
        seen: format!("ended while it was at: {} ({})", entry.step, entry.time),
        remedy: "`rig-hw journal` tells what it did before; the TDX module above is what came of it".into(),
    }
}

fn show(condition: &Condition) {
    let word = match condition.standing {
        Standing::Good => "ok  ",
        Standing::Missing => "LACK",
        Standing::Weak => "weak",
        Standing::Unknown => "?   ",
    };
    println!("  {word}  {:<18} {}", condition.name, condition.seen);
    if !condition.remedy.is_empty() {
        println!("        {:<18} mend: {}", "", condition.remedy);
    }
}

fn show_journal(host: &Host, json: bool) -> u8 {
    let entries = journal::entries(host);
    if json {
        println!("{}", json!({ "entries": entries, "unfinished": journal::unfinished(host) }));
        return 0;
    }
    for entry in &entries {
        println!("{}  {:>7}  {:<24} {}", entry.time, entry.pid, entry.step, entry.detail);
    }
    match journal::unfinished(host) {
        Some(entry) => println!("\nthe last command ended while it was at: {}", entry.step),
        None => {
            println!("\n{}", if entries.is_empty() { "nothing was done yet" } else { "nothing is left unfinished" });
        }
    }
    0
}

fn update(host: &Host, arguments: &UpdateArguments) -> Result<u8, Trouble> {
    change(host, &arguments.change, Wish { what: "update", updates: 1, ..Wish::default() })
}

fn stress(host: &Host, arguments: &StressArguments) -> Result<u8, Trouble> {
    let (within, loads) = (arguments.within, arguments.load.clone());
    change(
        host,
        &arguments.change,
        Wish { what: "stress", updates: arguments.updates, within, loads, ..Wish::default() },
    )
}

fn change(host: &Host, told: &Change, wish: Wish) -> Result<u8, Trouble> {
    let wish = Wish {
        image: told.image.clone(),
        to: told.to,
        mapping: told.mapping.clone(),
        yes: told.yes,
        with_tds: told.with_tds,
        last: told.last,
        force: told.force,
        blind: told.blind,
        out: told.out.clone(),
        ..wish
    };
    let facts = Facts::of(host);
    let plan = change::plan(&wish, &facts, journal::unfinished(host).as_ref())?;
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if !wish.yes {
        say_plan(&plan, told.output.json);
        return Ok(0);
    }
    let verdict = change::run(host, &wish, &facts, &plan, &|doing| eprintln!("{doing}"))?;
    say_verdict(&verdict, told.output.json);
    Ok(verdict.exit_code)
}

fn say_plan(plan: &change::Plan, json: bool) {
    let version = |version: Option<Version>| version.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
    let (from, to) = (version(plan.from), version(plan.image.version));
    let file = plan.image.path.display().to_string();
    if json {
        println!(
            "{}",
            json!({ "verdict": "dry-run", "from": from, "to": to, "image": file, "sha256": plan.image.sha256,
            "updates": plan.updates, "warnings": plan.warnings, "exit_code": 0 })
        );
        return;
    }
    println!("would update the TDX module {from} -> {to}, {} time(s)", plan.updates);
    println!("  image   {file}\n  sha256  {}", plan.image.sha256);
    println!("nothing was changed: say --yes to do it");
}

fn say_verdict(verdict: &Verdict, json: bool) {
    if json {
        println!("{}", serde_json::to_string(verdict).expect("a verdict is plain data"));
    } else {
        print!("{}", terminal(verdict, Look::PLAIN));
    }
    if verdict.verdict != Outcome::Passed {
        eprintln!("error: {}", verdict.reason.as_deref().unwrap_or("the update failed"));
        eprintln!("help: {}", verdict.remedy.as_deref().unwrap_or("read report.html in the folder with the evidence"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use clap::Parser;
    use seam_emu::image::{ImageSpec, build};

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: HwCommand,
    }

    fn parse(words: &str) -> HwCommand {
        Line::try_parse_from(words.split(' ')).unwrap_or_else(|e| panic!("{words}: {e}")).command
    }

    #[test]
    fn can_parse_what_the_help_shows() {
        for line in EXAMPLES.lines().filter_map(|line| line.trim().strip_prefix("rig-hw ")) {
            parse(&format!("rig-hw {}", line.split("  ").next().unwrap()));
        }
        for wrong in ["rig-hw update --to 1.5", "rig-hw stress --load none", "rig-hw stress --updates 0", "rig-hw"] {
            assert!(Line::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }

    /// Without --yes the host stays as it is, journal included.
    #[test]
    fn a_dry_run_changes_nothing() {
        let fake = Fake::new();
        let spec = ImageSpec { major: 1, minor: 5, update: 6, cpuids: vec![0x0008_06f0], ..ImageSpec::default() };
        fake.put("/tdx_module_1.5.06.blob", build(&spec));
        let image = fake.host().path("/tdx_module_1.5.06.blob");
        let line = format!("rig-hw update --image {}", image.display());
        assert_eq!(run_on(&fake.host(), &parse(&line)), 0);
        assert!(journal::entries(&fake.host()).is_empty() && !fake.host().has(journal::FOLDER));
        assert_eq!(fake.host().read("/sys/class/firmware/tdx_module/data").unwrap(), "");
        let blind = format!("{line} --yes --blind");
        assert_eq!(run_on(&fake.host(), &parse(&blind)), 1, "the picture of a host keeps its version");
        assert_ne!(std::fs::read(fake.host().path("/sys/class/firmware/tdx_module/data")).unwrap(), b"");
    }

    #[test]
    fn exit_codes_tell_why() {
        let fake = Fake::new();
        let code = |line: &str| run_on(&fake.host(), &parse(line));
        assert_eq!((code("rig-hw check"), code("rig-hw check --json"), code("rig-hw journal")), (0, 0, 0));
        assert_eq!(code("rig-hw update"), 2);
        assert_eq!(code("rig-hw update --image /nonexistent --json"), 5);
        fake.lose_module();
        assert_eq!((code("rig-hw check"), code("rig-hw update --image x")), (5, 5));
    }
}
