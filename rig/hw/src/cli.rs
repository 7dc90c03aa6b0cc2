//! The commands: each is carried out, and its result is printed.

use crate::arguments::{ChangeArguments, CheckArguments, HwCommand, StressArguments, UpdateArguments};
use crate::change::{self, Request};
use crate::check::{Condition, Standing, conditions, is_ready};
use crate::facts::Facts;
use crate::host::Host;
use crate::journal::{self, Last};
use crate::repair::{left_behind, repair};
use crate::say;
use crate::trouble::Trouble;
use crate::version::Version;
use rig_judge::report::{Look, terminal};
use rig_judge::{Outcome, Verdict};
use serde_json::json;

/// Runs a command on this machine; the exit code is the process's.
pub fn run(command: &HwCommand) -> u8 {
    run_on(&Host::this(), command)
}

fn run_on(host: &Host, command: &HwCommand) -> u8 {
    let (json, result) = match command {
        HwCommand::Check(arguments) => (arguments.output.json, check(host, arguments)),
        HwCommand::Journal(output) => (output.json, Ok(show_journal(host, output.json))),
        HwCommand::Update(arguments) => (arguments.change.output.json, update(host, arguments)),
        HwCommand::Stress(arguments) => (arguments.change.output.json, stress(host, arguments)),
    };
    result.unwrap_or_else(|trouble| {
        say::err(&trouble);
        if json {
            let exit_code = trouble.exit as u8;
            say::out(
                json!({ "verdict": "refused", "reason": trouble.cause, "remedy": trouble.help, "exit_code": exit_code }),
            );
        }
        trouble.exit as u8
    })
}

fn check(host: &Host, arguments: &CheckArguments) -> Result<u8, Trouble> {
    let repaired = if arguments.repair { repair(host)? } else { Vec::new() };
    let mut all = conditions(&Facts::of(host));
    all.extend(last_command(&journal::last(host)));
    all.extend(left_behind(host));
    let ready = is_ready(&all);
    if arguments.output.json {
        say::out(json!({ "ready": ready, "conditions": all, "restored": repaired }));
    } else {
        for what in &repaired {
            say::out(format!("restored: {what}"));
        }
        all.iter().for_each(show);
        say::out(if ready { "\nready for an update" } else { "\nnot ready for an update" });
    }
    Ok(if ready { 0 } else { crate::Exit::Host as u8 })
}

/// A command that was not completed, as one more condition.
fn last_command(last: &Last) -> Option<Condition> {
    let (standing, entry, how, remedy) = match last {
        Last::Done => return None,
        Last::UnderWay(entry) => (Standing::Weak, entry, "is at", "wait for it to end"),
        Last::CutShort(entry) => {
            let remedy = "`rig-hw journal` shows what it did before; the TDX module above is what came of it";
            (Standing::Weak, entry, "ended while it was at", remedy)
        }
        Last::Hidden(entry) => (Standing::Unknown, entry, "is or was at", "be root to see which"),
    };
    let seen = format!("{how}: {} ({})", entry.step, entry.time);
    Some(Condition { name: "last command", standing, seen, remedy: remedy.into() })
}

fn show(condition: &Condition) {
    let word = match condition.standing {
        Standing::Good => "ok  ",
        Standing::Missing => "LACK",
        Standing::Weak => "weak",
        Standing::Unknown => "?   ",
    };
    say::out(format!("  {word}  {:<18} {}", condition.name, condition.seen));
    if !condition.remedy.is_empty() {
        say::out(format!("        {:<18} mend: {}", "", condition.remedy));
    }
}

fn show_journal(host: &Host, json: bool) -> u8 {
    let entries = journal::entries(host);
    let last = journal::last(host);
    if json {
        let unfinished = if let Last::CutShort(entry) = &last { Some(entry) } else { None };
        say::out(json!({ "entries": entries, "unfinished": unfinished }));
        return 0;
    }
    for entry in &entries {
        say::out(format!("{}  {:>7}  {:<24} {}", entry.time, entry.pid, entry.step, entry.detail));
    }
    say::out(match &last {
        Last::UnderWay(entry) => format!("\na command is under way, at: {}", entry.step),
        Last::CutShort(entry) => format!("\nthe last command ended while it was at: {}", entry.step),
        Last::Hidden(entry) => format!("\nthe last command is or was at: {} (be root to see which)", entry.step),
        Last::Done if entries.is_empty() => "\nnothing was done yet".into(),
        Last::Done => "\nnothing is left unfinished".into(),
    });
    0
}

fn update(host: &Host, arguments: &UpdateArguments) -> Result<u8, Trouble> {
    change(host, &arguments.change, Request { what: "update", updates: 1, ..Request::default() })
}

fn stress(host: &Host, arguments: &StressArguments) -> Result<u8, Trouble> {
    let (within, loads) = (arguments.within, arguments.load.clone());
    change(
        host,
        &arguments.change,
        Request { what: "stress", updates: arguments.updates, within, loads, ..Request::default() },
    )
}

fn change(host: &Host, arguments: &ChangeArguments, request: Request) -> Result<u8, Trouble> {
    let request = Request {
        image: arguments.image.clone(),
        to: arguments.to,
        mapping: arguments.mapping.clone(),
        yes: arguments.yes,
        with_tds: arguments.with_tds,
        last: arguments.last,
        force: arguments.force,
        blind: arguments.blind,
        out: arguments.out.clone(),
        ..request
    };
    if request.yes {
        let verdict = change::make(host, &request, &|doing| say::err(doing))?;
        say_verdict(&verdict, arguments.output.json);
        return Ok(verdict.exit_code);
    }
    let unfinished = if let Last::CutShort(entry) = journal::last(host) { Some(entry) } else { None };
    let plan = change::plan(&request, &Facts::of(host), unfinished.as_ref())?;
    plan.warnings.iter().for_each(|warning| say::err(format!("warning: {warning}")));
    say_plan(&plan, arguments.output.json);
    Ok(0)
}

fn say_plan(plan: &change::Plan, json: bool) {
    let version = |version: Option<Version>| version.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
    let (from, to) = (version(plan.from), version(plan.image.version));
    let file = plan.image.path.display().to_string();
    if json {
        say::out(json!({ "verdict": "dry-run", "from": from, "to": to, "image": file, "sha256": plan.image.sha256,
            "updates": plan.updates, "warnings": plan.warnings, "exit_code": 0 }));
        return;
    }
    say::out(format!("would update the TDX module {from} -> {to}, {} time(s)", plan.updates));
    say::out(format!("  image   {file}\n  sha256  {}", plan.image.sha256));
    say::out("nothing was changed: say --yes to do it");
}

fn say_verdict(verdict: &Verdict, json: bool) {
    if json {
        say::out(serde_json::to_string(verdict).expect("a verdict is plain data"));
    } else {
        say::out(terminal(verdict, Look::PLAIN).trim_end());
    }
    if verdict.verdict != Outcome::Passed {
        say::err(format!("error: {}", verdict.reason.as_deref().unwrap_or("the update failed")));
        let help = verdict.remedy.as_deref().unwrap_or("read report.html in the folder with the evidence");
        say::err(format!("help: {help}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::EXAMPLES;
    use crate::fake::Fake;
    use crate::restore::{Restore, Undo};
    use clap::Parser;
    use seam_emu::image::{ImageSpec, build};

    #[derive(Debug, Parser)]
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
        assert!(journal::entries(&fake.host()).is_empty() && !fake.host().has(crate::lock::FOLDER));
        assert_eq!(fake.host().read("/sys/class/firmware/tdx_module/data").unwrap(), "");
        let blind = format!("{line} --yes --blind");
        assert_eq!(run_on(&fake.host(), &parse(&blind)), 1, "the picture of a host keeps its version");
        assert_ne!(std::fs::read(fake.host().path("/sys/class/firmware/tdx_module/data")).unwrap(), b"");
    }

    /// A command that was killed is reported, and what it left is put back on request only.
    #[test]
    fn a_host_can_be_repaired() {
        let fake = Fake::new();
        let cpu = "/sys/devices/system/cpu/cpu3/online";
        let code = |line: &str| run_on(&fake.host(), &parse(line));
        let lock = crate::lock::Lock::take(&fake.host()).unwrap();
        let mut restore = Restore::new(&fake.host(), journal::Journal::open(&fake.host(), lock).unwrap());
        restore.before(Undo::Online { cpus: vec![0, 1, 2, 3] }).unwrap();
        fake.host().write(cpu, "0").unwrap();
        assert_eq!(code("rig-hw check --repair"), 6, "it is at it");
        restore.forget();
        assert_eq!(code("rig-hw check"), 5);
        assert_eq!(fake.host().read(cpu).unwrap(), "0");
        assert_eq!((code("rig-hw check --repair"), code("rig-hw check")), (0, 0));
        assert_eq!(fake.host().read(cpu).unwrap(), "1");
    }

    #[test]
    fn exit_codes_distinguish_their_causes() {
        let fake = Fake::new();
        let code = |line: &str| run_on(&fake.host(), &parse(line));
        assert_eq!((code("rig-hw check"), code("rig-hw check --json"), code("rig-hw journal")), (0, 0, 0));
        assert_eq!(code("rig-hw update"), 2);
        assert_eq!(code("rig-hw update --image /nonexistent --json"), 5);
        fake.lose_module();
        assert_eq!((code("rig-hw check"), code("rig-hw update --image x")), (5, 5));
    }
}
