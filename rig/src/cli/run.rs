//! `rig run`

use super::output;
use crate::run::{self, AtBreach, LoggedFunctions, Options};
use crate::scenario::{self, Ack, Backend, Clock, Engine, Scenario, Shape, Subject, Twin, catalogue};
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::{Outcome, Verdict};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// Scenario file (TOML), or the name of one that comes with the rig; without one, the plain update
    scenario: Option<PathBuf>,
    /// vCPUs of the machine (1 to 512)
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Updates, one after another
    #[arg(long, value_name = "N")]
    updates: Option<u32>,
    /// Trust domains that KVM builds and runs through all updates
    #[arg(long, value_name = "N")]
    tds: Option<u32>,
    /// vCPUs of each trust domain
    #[arg(long, value_name = "N")]
    td_vcpus: Option<u32>,
    /// A kernel of your own: a build tree, or a bzImage with its System.map beside it; or the rig's as `profile:debug`,
    /// `profile:kcsan` or `profile:rt`; with the subject `kmod` also Debian's own, as `debian:6.12`
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// Build the rig's kernel with this option, too, such as `DEBUG_LIST=y`; may be repeated. That takes some minutes, and is kept
    #[arg(long, value_name = "KEY=VALUE")]
    kconfig: Vec<String>,
    /// What the kernel calls the parts of its update, where the rig does not know it: a file, or `linux-7.2` or `tdp-data`
    #[arg(long, value_name = "FILE")]
    shape: Option<PathBuf>,
    /// Upload this module image as it is
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How SEAMCALLs reach the emulated firmware
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// What time is for the machine: the host's clock, or counted instructions, which repeat a run bit for bit
    #[arg(long, value_enum)]
    clock: Option<Clock>,
    /// The code under test
    #[arg(long, value_enum)]
    subject: Option<Subject>,
    /// How the subject `kmod` acknowledges a step
    #[arg(long, value_enum)]
    ack: Option<Ack>,
    /// How the subject `kmod` brings all CPUs in
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// A deliberate error of the subject `kmod`, which the judge must find
    #[arg(long, value_enum, value_name = "NAME")]
    twin: Option<Twin>,
    /// What the scenario needs and the rig has not, such as somebody's client: a file, or a folder with all that is in it; may be
    /// repeated
    #[arg(long = "client", value_name = "PATH")]
    clients: Vec<PathBuf>,
    /// Run folder; must not exist or be empty [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A QEMU of your own (11.1 or later, with plugins)
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// Show how the run was made, too: the backend and why it was chosen
    #[arg(short, long)]
    verbose: bool,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
    /// Keep the large files of a run that passed (events, module image)
    #[arg(long)]
    keep: bool,
    /// Boot, instead of restoring a snapshot of a machine that booted in the same way
    #[arg(long)]
    cold: bool,
    /// What the run may leave behind in events and the kernel's log, MB (256); more ends it as an error of the rig
    #[arg(long, value_name = "MB")]
    evidence_max_mb: Option<u32>,
    /// Where an invariant breaks or the machine hangs, stop it there and serve gdb until Ctrl-C
    #[arg(long)]
    stop_at_breach: bool,
    /// End a machine that was left stopped after this time, seconds
    #[arg(long, value_name = "S", requires = "stop_at_breach")]
    keep_s: Option<u32>,
    /// Record no events, for measuring what recording costs; nothing is judged then
    #[arg(long, hide = true)]
    no_events: bool,
    /// Log each instruction of these functions to this file, with registers and accesses, from when a CPU enters the first one until
    /// it leaves it: for comparing an interpreter with QEMU. Needs `--clock deterministic`
    #[arg(long, hide = true, num_args = 2.., value_names = ["FILE", "FUNCTION"])]
    instructions: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let total = Instant::now();
    let progress = Progress::stderr();
    let scenario = scenario(arguments)?;
    let options = options(arguments, &scenario)?;
    if let Some(nested) = &scenario.nested {
        let verdict = run::run_nested(&scenario, nested, &options, total, &progress)?;
        return Ok(print_verdict(&verdict, arguments.json, arguments.verbose));
    }
    let prepared = run::prepare(scenario, &options, &progress)?;
    let folder = prepared.folder().to_owned();
    let verdict = run::run(prepared, total, &progress).inspect_err(|_| {
        eprintln!("the logs are in {}", folder.display());
    })?;
    if matches!(verdict.verdict, Outcome::RigError | Outcome::Hung | Outcome::GuestCrashed) {
        eprintln!("error: {}", verdict.reason.as_deref().unwrap_or("the run came to no end"));
        eprintln!("help: {} ({})", verdict.remedy.as_deref().unwrap_or("see the run folder"), folder.display());
    }
    Ok(print_verdict(&verdict, arguments.json, arguments.verbose))
}

/// What the flags add to the scenario.
fn options(arguments: &Arguments, scenario: &Scenario) -> Result<Options, Trouble> {
    let keep = arguments.keep_s.map(|s| Duration::from_secs(s.into()));
    let at_breach = arguments.stop_at_breach.then_some(AtBreach { keep });
    let unfit = match (scenario.clock, &scenario.nested) {
        (Clock::Deterministic, _) => Some("on the deterministic clock nothing on the host touches the machine"),
        (_, Some(_)) => Some("the machines of this scenario run inside another one"),
        _ => None,
    };
    if let (Some(_), Some(why)) = (at_breach, unfit) {
        let help = "leave out --stop-at-breach, or run the scenario on the parallel clock";
        return Err(Trouble::usage(format!("--stop-at-breach is not possible: {why}"), help));
    }
    Ok(Options {
        out: arguments.out.clone(),
        qemu: arguments.qemu.clone(),
        keep: arguments.keep,
        no_events: arguments.no_events,
        cold: arguments.cold,
        at_breach,
        terminal: None,
        instructions: logged(&arguments.instructions, scenario.clock)?,
    })
}

/// The functions whose instructions are to be logged. Only where one thread runs all vCPUs does QEMU say what locked instructions
/// write.
fn logged(words: &[String], clock: Clock) -> Result<Option<LoggedFunctions>, Trouble> {
    match words {
        [file, first, others @ ..] if clock == Clock::Deterministic => {
            let (file, first, others) = (PathBuf::from(file), first.clone(), others.to_vec());
            Ok(Some(LoggedFunctions { file, first, others }))
        }
        [] => Ok(None),
        _ => {
            Err(Trouble::usage("instructions are logged on the deterministic clock only", "add --clock deterministic"))
        }
    }
}

/// Shows the verdict, with `verbose` also how the run was made; its exit code.
fn print_verdict(verdict: &Verdict, json: bool, verbose: bool) -> u8 {
    if json {
        output::json(verdict);
    } else {
        super::show::print(verdict, verbose);
    }
    verdict.exit_code
}

/// The scenario of the file, or the default one, with the flags over it.
fn scenario(arguments: &Arguments) -> Result<Scenario, Trouble> {
    let mut scenario = scenario_of(arguments.scenario.as_deref())?;
    scenario.cpus = arguments.cpus.unwrap_or(scenario.cpus);
    scenario.updates = arguments.updates.unwrap_or(scenario.updates);
    if arguments.tds.is_some() || arguments.td_vcpus.is_some() {
        let tds = scenario.tds.get_or_insert_default();
        tds.count = arguments.tds.unwrap_or(tds.count);
        tds.vcpus = arguments.td_vcpus.unwrap_or(tds.vcpus);
    }
    scenario.backend = arguments.backend.unwrap_or(scenario.backend);
    scenario.clock = arguments.clock.unwrap_or(scenario.clock);
    scenario.subject = arguments.subject.unwrap_or(scenario.subject);
    scenario.ack = arguments.ack.or(scenario.ack);
    scenario.engine = arguments.engine.or(scenario.engine);
    scenario.twin = arguments.twin.or(scenario.twin);
    scenario.budget.evidence_mb = arguments.evidence_max_mb.or(scenario.budget.evidence_mb);
    scenario.kernel = arguments.kernel.clone().or(scenario.kernel);
    if let Some(shape) = &arguments.shape {
        scenario.shape = Some(Shape::of(shape)?);
    }
    scenario.kconfig.extend(arguments.kconfig.iter().map(|line| with_prefix(line)));
    scenario.image.file = arguments.image.clone().or(scenario.image.file);
    bring(&mut scenario, &arguments.clients)?;
    let help = "change the flag, or the scenario file";
    scenario.check().map_err(|cause| Trouble::usage(cause, help))?;
    Ok(scenario)
}

/// As in a `.config`; the prefix may be left out, as in Kconfig files.
fn with_prefix(line: &str) -> String {
    if line.starts_with("CONFIG_") { line.to_owned() } else { format!("CONFIG_{line}") }
}

/// Gives the scenario what was brought for it.
fn bring(scenario: &mut Scenario, given: &[PathBuf]) -> Result<(), Trouble> {
    let userspace = scenario.userspace.as_mut().filter(|userspace| !userspace.brings.is_empty());
    match userspace {
        Some(userspace) => userspace.given.extend_from_slice(given),
        None if given.is_empty() => {}
        None => {
            let cause = format!("{} needs nothing that is brought, so --client has no use", scenario.name);
            return Err(Trouble::usage(cause, "leave it out, or name a scenario that needs it, such as client-intel"));
        }
    }
    Ok(())
}

/// The scenario of a file, or of the catalogue, or the default one.
pub(super) fn scenario_of(given: Option<&Path>) -> Result<Scenario, Trouble> {
    match given {
        Some(path) if path.exists() || is_path(path) => scenario::from_file(path),
        Some(name) => catalogue::named(&name.display().to_string()),
        None => Ok(Scenario::default()),
    }
}

/// Whether it cannot be a scenario's name.
fn is_path(given: &Path) -> bool {
    given.components().count() > 1 || given.is_absolute() || given.extension().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Arguments,
    }

    fn parse(words: &[&str]) -> Result<Scenario, Trouble> {
        scenario(&Line::parse_from(std::iter::once(&"run").chain(words)).run)
    }

    #[test]
    fn flags_go_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        std::fs::write(&file, "name = \"x\"\ncpus = 8\nupdates = 2\n").unwrap();
        let path = file.to_str().unwrap();
        let scenario = parse(&[path, "--cpus", "16"]).unwrap();
        assert_eq!((scenario.name.as_str(), scenario.cpus, scenario.updates), ("x", 16, 2));
    }

    #[test]
    fn a_name_is_one_of_the_catalogue() {
        assert_eq!(parse(&["shutdown-busy"]).unwrap().name, "shutdown-busy");
        assert!(parse(&["shutdown-bsy"]).unwrap_err().help.contains("`shutdown-busy`"));
        assert!(parse(&["shutdown-busy.toml"]).unwrap_err().cause.contains("cannot read"));
    }

    #[test]
    fn a_client_goes_to_a_scenario_that_needs_one() {
        let scenario = parse(&["client-intel", "--client", "a/client.py", "--client", "b"]).unwrap();
        assert_eq!(scenario.userspace.unwrap().given, ["a/client.py", "b"].map(PathBuf::from));
        let trouble = parse(&["client-shell", "--client", "a"]).unwrap_err();
        assert!(trouble.cause.contains("--client has no use"), "{trouble}");
    }

    #[test]
    fn only_a_machine_that_the_host_may_touch_is_left_stopped() {
        let options = |words: &[&str]| {
            let arguments = Line::parse_from(["run"].iter().chain(words)).run;
            options(&arguments, &scenario(&arguments)?)
        };
        let keep = Some(Duration::from_secs(9));
        assert_eq!(options(&["--stop-at-breach", "--keep-s", "9"]).unwrap().at_breach, Some(AtBreach { keep }));
        assert_eq!(options(&[]).unwrap().at_breach, None);
        let refused = options(&["--stop-at-breach", "--clock", "deterministic"]).unwrap_err();
        assert!(refused.cause.contains("deterministic clock"), "{refused}");
        assert!(options(&["--stop-at-breach", "nested-kvm"]).unwrap_err().cause.contains("inside another"));
        assert!(Line::try_parse_from(["run", "--keep-s", "9"]).is_err());
    }

    #[test]
    fn options_of_the_kernel_have_their_prefix() {
        let scenario = parse(&["--kconfig", "DEBUG_LIST=y", "--kconfig", "CONFIG_HZ=100"]).unwrap();
        assert_eq!(scenario.kconfig, ["CONFIG_DEBUG_LIST=y", "CONFIG_HZ=100"]);
        assert!(parse(&["--kconfig", "DEBUG_LIST"]).unwrap_err().cause.contains("no CONFIG_KEY=value"));
    }

    #[test]
    fn flags_are_checked_too() {
        assert!(parse(&["--evidence-max-mb", "0"]).unwrap_err().cause.contains("`budget.evidence_mb` is 0"));
        assert!(parse(&["--cpus", "0"]).unwrap_err().cause.contains("`cpus` is 0"));
        assert!(parse(&["/nonexistent.toml"]).unwrap_err().cause.contains("cannot read"));
    }
}
