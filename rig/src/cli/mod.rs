//! The command line.

mod bisect;
mod bundle;
mod check;
mod claim;
mod claim_orders;
mod claim_seeds;
mod compare_acks;
mod diff;
mod dist;
mod doctor;
#[cfg(test)]
mod documents;
mod engines;
mod exec;
mod explore;
mod images;
mod kernel;
mod list;
mod local_terminal;
mod merge;
mod mutants;
mod new_scenario;
mod output;
mod prove;
mod prove_text;
mod replay;
mod run;
mod scenario;
mod series;
mod series_flags;
mod shard;
mod shell;
mod show;
mod shrink;
mod suite;
mod target;
mod tdx_host;
#[cfg(test)]
mod test_systems;

use crate::trouble::{Exit, Trouble};
use clap::{Parser, Subcommand};

/// Judges how Linux updates its TDX module at run time, on an emulated TDX platform.
#[derive(Debug, Parser)]
#[command(name = "rig", version = VERSION, about, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Version and git revision.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("RIG_REVISION"), ")");

const EXAMPLES: &str = "\
Examples:
  cargo rig run                              one update on 4 CPUs, with the rig's own kernel
  cargo rig run --cpus 64 --updates 5        five updates on 64 CPUs
  cargo rig run --kernel ~/linux             your own kernel's build tree
  cargo rig run scenario.toml --json         a scenario file; one JSON object on stdout
  cargo rig run shutdown-busy                a scenario that comes with the rig (cargo rig list)
  cargo rig suite --tag quick                all scenarios that take seconds
  cargo rig explore --seeds 0..1000          a thousand schedules, to find a race
  cargo rig series my.mbox                   which patch of a series makes the kernel better or worse
  cargo rig kernel check ~/linux             what your own kernel lacks for the rig
  cargo rig doctor                           what this machine has and what it lacks

Exit codes: 0 passed, 1 an invariant broke or the outcome is not the expected one, 2 usage,
3 hung, 4 the guest crashed, 5 the rig or this machine failed, 77 skipped.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and judge it.
    Run(run::Arguments),
    /// Run a command in the emulated TDX host; its output and its exit code come back.
    #[command(after_help = exec::EXAMPLES)]
    Exec(exec::ExecArguments),
    /// Open a shell of Debian's in the emulated TDX host.
    #[command(after_help = shell::EXAMPLES)]
    Shell(shell::ShellArguments),
    /// Name the scenarios that come with the rig.
    List(list::Arguments),
    /// Print scenario files, check them, or print the schema of their format.
    #[command(after_help = scenario::EXAMPLES)]
    Scenario(scenario::ScenarioArguments),
    /// Write a commented scenario file to start from.
    NewScenario(new_scenario::NewScenarioArguments),
    /// Run the scenarios of a suite, the cheapest first.
    #[command(after_help = suite::EXAMPLES)]
    Suite(suite::Arguments),
    /// Try many schedules of a scenario: which CPU waits where, and for whom.
    #[command(after_help = explore::EXPLORE_EXAMPLES)]
    Explore(explore::Arguments),
    /// Try new schedules for a given time.
    #[command(after_help = explore::SOAK_EXAMPLES)]
    Soak(explore::SoakArguments),
    /// Run the schedule of a seed or of a failure again.
    #[command(after_help = replay::REPLAY_EXAMPLES)]
    Replay(replay::ReplayArguments),
    /// Find the fewest holds and CPUs with which a schedule still fails.
    #[command(after_help = shrink::EXAMPLES)]
    Shrink(shrink::Arguments),
    /// Join the results of several machines.
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::Arguments),
    /// Say what this machine has, what it lacks, and what mends it.
    Doctor(doctor::Arguments),
    /// Say what your own kernel lacks for the rig, or add it to its configuration.
    #[command(after_help = kernel::EXAMPLES)]
    Kernel(kernel::KernelArguments),
    /// Build, list, verify or clean what runs are made of.
    Images(images::Arguments),
    /// On a real TDX host: check it, update its TDX module under observation, judge.
    #[command(subcommand, after_help = rig_hw::EXAMPLES)]
    Hw(rig_hw::HwCommand),
    /// Pack what a TDX host needs into one archive: static programs, module sources, scenarios, licences.
    Dist(dist::Arguments),
    /// Show the verdict of a finished run.
    Show(show::Arguments),
    /// Pack a finished run for somebody else: recording, report, scenario, the kernel's configuration.
    #[command(after_help = bundle::EXAMPLES)]
    Bundle(bundle::BundleArguments),
    /// Judge the events of a finished run again.
    Check(check::Arguments),
    /// Compare the timelines of two runs, event by event.
    Diff(diff::Arguments),
    /// Measure both acknowledgements of the update kernel module by the number of CPUs.
    CompareAcks(compare_acks::Arguments),
    /// Show which requirements on an update each engine of the update kernel module meets.
    Engines(engines::Arguments),
    /// Change Linux's update code in every small way that the rules know, and show that each change is noticed.
    #[command(after_help = mutants::EXAMPLES)]
    Mutants(mutants::Arguments),
    /// Build and judge each patch of a series, and say which one makes the kernel better or worse.
    #[command(after_help = series::EXAMPLES)]
    Series(series::SeriesArguments),
    /// Find the first commit of a git tree that makes a scenario end worse.
    #[command(after_help = bisect::EXAMPLES)]
    Bisect(bisect::BisectArguments),
    /// Try whether what somebody claims of the kernel can be shown.
    #[command(after_help = claim::EXAMPLES)]
    Claim(claim::ClaimArguments),
    /// Explore every order in which CPUs can walk the update's section of a kernel's machine code.
    #[command(after_help = prove::EXAMPLES)]
    Prove(prove::Arguments),
}

/// Runs the command line; the exit code is the process's.
pub fn main() -> std::process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; clap knows which this is.
            let _ = error.print();
            return if error.use_stderr() { code(Exit::Usage as u8) } else { code(0) };
        }
    };
    code(dispatch(arguments))
}

/// Runs a command; its exit code.
fn dispatch(arguments: Arguments) -> u8 {
    let (json, result) = match arguments.command {
        Command::Run(arguments) => (arguments.json, run::run(&arguments)),
        Command::Exec(arguments) => (false, exec::run(&arguments).map_err(untestable)),
        Command::Shell(arguments) => (false, shell::run(&arguments)),
        Command::List(arguments) => (arguments.json, Ok(list::run(&arguments))),
        Command::Scenario(arguments) => (false, scenario::run(&arguments)),
        Command::NewScenario(arguments) => (false, new_scenario::run(&arguments)),
        Command::Suite(arguments) => (arguments.json, suite::run(&arguments)),
        Command::Explore(arguments) => (arguments.json(), explore::run(&arguments)),
        Command::Soak(arguments) => (arguments.json(), explore::soak(&arguments)),
        Command::Replay(arguments) => (arguments.json, replay::replay(&arguments)),
        Command::Shrink(arguments) => (arguments.json, shrink::run(&arguments)),
        Command::Merge(arguments) => (arguments.json, merge::run(&arguments)),
        Command::Doctor(arguments) => (arguments.json, doctor::run(&arguments)),
        Command::Images(arguments) => (arguments.json(), images::run(&arguments)),
        Command::Kernel(arguments) => (arguments.json(), kernel::run(&arguments)),
        Command::Dist(arguments) => (false, dist::run(&arguments)),
        Command::Hw(command) => return rig_hw::run(&command),
        Command::Show(arguments) => (arguments.json, show::run(&arguments)),
        Command::Bundle(arguments) => (false, bundle::run(&arguments)),
        Command::Check(arguments) => (arguments.json, check::run(&arguments)),
        Command::Diff(arguments) => (arguments.json, diff::run(&arguments)),
        Command::CompareAcks(arguments) => (arguments.json, compare_acks::run(&arguments)),
        Command::Engines(arguments) => (arguments.json, engines::run(&arguments)),
        Command::Mutants(arguments) => (arguments.json, mutants::run(&arguments)),
        Command::Series(arguments) => (arguments.json, series::run(&arguments).map_err(untestable)),
        Command::Bisect(arguments) => (arguments.json, bisect::run(&arguments).map_err(untestable)),
        Command::Claim(arguments) => (arguments.json, claim::run(&arguments)),
        Command::Prove(arguments) => (arguments.json, prove::run(&arguments)),
    };
    match result {
        Ok(exit) => exit,
        Err(trouble) => {
            report(&trouble, json);
            trouble.exit as u8
        }
    }
}

/// `git bisect run` takes each code below 125 for a bad commit, and of `rig exec` they are the command's.
fn untestable(trouble: Trouble) -> Trouble {
    Trouble { exit: Exit::Untestable, ..trouble }
}

fn code(exit: u8) -> std::process::ExitCode {
    std::process::ExitCode::from(exit)
}

fn report(trouble: &Trouble, json: bool) {
    let (word, verdict) = match trouble.exit {
        Exit::Usage => ("error", "usage-error"),
        Exit::Skipped => ("skipped", "skipped"),
        _ => ("error", "rig-error"),
    };
    eprintln!("{word}: {}", trouble.cause);
    eprintln!("help: {}", trouble.help);
    if json {
        output::json(&serde_json::json!({
            "verdict": verdict, "reason": trouble.cause, "remedy": trouble.help, "exit_code": trouble.exit as u8,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn can_parse_what_the_help_shows() {
        let commands = [
            EXAMPLES,
            explore::EXPLORE_EXAMPLES,
            explore::SOAK_EXAMPLES,
            replay::REPLAY_EXAMPLES,
            shrink::EXAMPLES,
            merge::EXAMPLES,
            kernel::EXAMPLES,
            exec::EXAMPLES,
            shell::EXAMPLES,
            bundle::EXAMPLES,
            scenario::EXAMPLES,
            suite::EXAMPLES,
            mutants::EXAMPLES,
            series::EXAMPLES,
            bisect::EXAMPLES,
            prove::EXAMPLES,
            claim::EXAMPLES,
        ];
        for line in commands.iter().flat_map(|text| text.lines()).filter_map(|l| l.trim().strip_prefix("cargo ")) {
            let words = line.split("  ").next().unwrap().split_ascii_whitespace();
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn can_parse_what_the_examples_for_ci_run() {
        for text in
            [include_str!("../../../docs/ci/github-actions.yml"), include_str!("../../../docs/ci/gitlab-ci.yml")]
        {
            let commands = text.lines().filter_map(|line| line.trim().strip_prefix("- "));
            let commands: Vec<&str> = commands.map(|line| line.trim_start_matches("run: ")).collect();
            let ours = commands.iter().filter_map(|line| line.strip_prefix("cargo rig "));
            let hw =
                commands.iter().filter_map(|line| line.strip_prefix("bin/rig-hw ")).map(|line| format!("hw {line}"));
            let all: Vec<String> = ours.map(|line| (*line).to_owned()).chain(hw).collect();
            assert!(all.len() >= 4, "{all:?}");
            for line in all {
                assert!(Arguments::try_parse_from(format!("rig {line}").split(' ')).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn cannot_parse_nonsense() {
        assert!(Arguments::try_parse_from(["rig", "run", "--cpu", "4"]).is_err());
        assert!(Arguments::try_parse_from(["rig"]).is_err());
    }
}
