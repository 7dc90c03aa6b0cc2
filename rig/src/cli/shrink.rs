//! `rig shrink`

use super::output;
use super::replay::fresh;
use super::target::MachineFlags;
use crate::explore::evidence;
use crate::explore::repeat::{self, Repeater};
use crate::explore::statistics::Rate;
use crate::explore::tally::Tally;
use crate::run::Guests;
use crate::scenario::{Clock, HoldSpec, Scenario};
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use rig_judge::{Outcome, Verdict};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig shrink runs/explore-plain/guests/7            fewest holds and CPUs that still fail
  cargo rig shrink runs/explore-plain/guests/7 --repeat 10 --out small.toml

Exit codes: 0 the smallest schedule that was found is written, 2 usage, or nothing failed, 5 some repetitions were not judged.";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of a guest that `rig explore` kept, or a scenario file with holds
    run: PathBuf,
    /// Repetitions of each candidate; one counts as failing when it fails at least as often as the original
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// The scenario file to write [default: shrunk.toml in the run's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    target: MachineFlags,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let (given, recorded) = evidence::read(&arguments.run)?;
    check_failed(&arguments.run)?;
    let updates = given.updates;
    let (scenario, mut holds) = arguments.target.apply(Scenario { holds: recorded.holds, ..given })?;
    let folder = fresh(None, "shrink")?;
    let before = (scenario.cpus, holds.len());
    let sessions = arguments.target.sessions(scenario.clone(), &folder.join("base"), &progress)?;
    let times = if sessions.repeats() { 1 } else { arguments.repeat };
    let tries = folder.join("tries");
    let mut repeater = Repeater { guests: &sessions, updates, folder: tries, times, made: 0, not_judged: 0 };
    let mut base = repeater.tally(&holds, None)?;
    if base.failed == 0 && base.not_judged == 0 && !recorded.before.is_empty() {
        // It needs what the updates before it left behind; then their holds count, too.
        let lists: Vec<_> = recorded.before.iter().cloned().chain([holds]).collect();
        repeater.updates = u32::try_from(lists.len()).expect("a guest makes few updates");
        holds = repeat::numbered(&lists);
        base = repeater.tally(&holds, None)?;
    }
    let enough = enough(base, &folder)?;
    while repeater.updates > 1 {
        progress.say(&format!("trying {} updates", repeater.updates - 1));
        let later = repeat::without_first(&holds);
        repeater.updates -= 1;
        if !repeater.fails(&later, enough)? {
            repeater.updates += 1;
            break;
        }
        holds = later;
    }
    let holds = repeat::fewest(holds, |candidate| {
        progress.say(&format!("trying {} holds", candidate.len()));
        repeater.fails(candidate, enough)
    })?;
    let (made, not_judged, updates) = (repeater.made, repeater.not_judged, repeater.updates);
    let scenario = Scenario { updates, ..scenario };
    let small = fewer_cpus(arguments, scenario, holds, (enough, times, &folder), &progress)?;
    let (made, not_judged) = (made + small.made, not_judged + small.not_judged);
    let scenario = Scenario { holds: repeat::free(small.holds), ..small.scenario };
    let shrunk = Shrunk { before, enough, times, made, not_judged, scenario };
    finish(arguments, &shrunk, &folder)
}

/// What passed has nothing that could be shrunk.
fn check_failed(run: &Path) -> Result<(), Trouble> {
    let verdict = std::fs::read(run.join("verdict.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    match verdict {
        Some(Verdict { verdict: Outcome::Passed, .. }) => {
            let cause = format!("the run in {} passed", run.display());
            Err(Trouble::usage(cause, "give the folder of a run that failed"))
        }
        _ => Ok(()),
    }
}

/// How often the schedule as it is fails, which each candidate must do, too.
fn enough(base: Tally, folder: &Path) -> Result<u32, Trouble> {
    match base {
        Tally { not_judged: 1.., .. } => {
            let cause = format!("the schedule itself could not be judged: {}", base.text());
            Err(Trouble::environment(cause, format!("see the logs in {}, and run it again", folder.display())))
        }
        Tally { failed: 0, passed, .. } => {
            let cause = format!("the schedule failed in none of {passed} repetitions");
            Err(Trouble::usage(
                cause,
                "that run passed, so there is nothing to shrink; where it fails only now and then, raise --repeat",
            ))
        }
        Tally { failed, .. } => Ok(failed),
    }
}

/// The schedule on fewer CPUs, and what it took.
struct Smaller {
    scenario: Scenario,
    holds: Vec<HoldSpec>,
    made: u32,
    not_judged: u32,
}

/// The schedule on the CPUs that it names, if it still fails there.
fn fewer_cpus(
    arguments: &Arguments,
    scenario: Scenario,
    holds: Vec<HoldSpec>,
    (enough, times, folder): (u32, u32, &Path),
    progress: &Progress,
) -> Result<Smaller, Trouble> {
    let (cpus, compact) = repeat::compact(&holds);
    let (mut made, mut not_judged) = (0, 0);
    for cpus in cpus.max(2)..scenario.cpus {
        progress.say(&format!("trying {cpus} CPUs"));
        let smaller = Scenario { cpus, ..scenario.clone() };
        let updates = scenario.updates;
        let base = folder.join(format!("base-{cpus}"));
        let sessions = arguments.target.sessions(Scenario { updates: 1, ..smaller.clone() }, &base, progress)?;
        let tries = folder.join(format!("tries-{cpus}"));
        let mut repeater = Repeater { guests: &sessions, updates, folder: tries, times, made: 0, not_judged: 0 };
        let fails = repeater.fails(&compact, enough)?;
        made += repeater.made;
        not_judged += repeater.not_judged;
        if fails {
            return Ok(Smaller { scenario: smaller, holds: compact, made, not_judged });
        }
    }
    Ok(Smaller { scenario, holds, made, not_judged })
}

/// What came of it.
struct Shrunk {
    /// CPUs and holds of the schedule that was given.
    before: (u32, usize),
    enough: u32,
    times: u32,
    made: u32,
    not_judged: u32,
    scenario: Scenario,
}

impl Shrunk {
    /// A smaller schedule may exist where candidates were not judged.
    const fn exit(&self) -> Exit {
        if self.not_judged == 0 { Exit::Passed } else { Exit::Environment }
    }

    /// For people: what is left, and what to do with it.
    fn text(&self, out: &Path) -> String {
        let Self { before, enough, times, made, scenario, .. } = self;
        let (cpus, holds, updates) = (scenario.cpus, scenario.holds.len(), scenario.updates);
        let what = match holds {
            0 => format!("needs no schedule: any run fails on {cpus} CPUs"),
            1 => format!("1 hold on {cpus} CPUs"),
            _ => format!("{holds} holds on {cpus} CPUs"),
        };
        let updates = if updates == 1 { String::new() } else { format!(", in {updates} updates") };
        let from = format!("from {} holds on {}", before.1, before.0);
        let mut text =
            format!("{what}{updates}, {from}; fails {enough} times in {times} ({made} repetitions in all)\n");
        for hold in &scenario.holds {
            let HoldSpec { cpu, at, nth, until, .. } = hold;
            let _ = writeln!(text, "  CPU {cpu} waits at {at} (pass {nth}) until {until}");
        }
        if self.not_judged > 0 {
            let _ =
                writeln!(text, "{} repetitions were not judged, so more may be left than is needed", self.not_judged);
        }
        let out = out.display();
        // Not `rig run`: what was tried ran in a session, as `replay` does it. A run of its own has another past, in
        // which the same pass of the same place may be another moment.
        let _ = writeln!(text, "see it:    cargo rig replay {out} --times {times}");
        text + &match self.clean_runs() {
            Some(clean) => format!(
                "try a fix: cargo rig replay {out} --times {clean} --kernel FIXED\n\
                 It is fixed (99 %) if all {clean} pass. A fixed kernel need not come to the holds."
            ),
            None => format!(
                "try a fix: cargo rig replay {out} --times 1 --kernel FIXED\n\
                 It passes when it is fixed, and its holds need not come true. Another kernel goes other ways, so explore it, too."
            ),
        }
    }

    /// Passes in a row that show a fix; none where each repetition is the same.
    fn clean_runs(&self) -> Option<u64> {
        let rate = Rate::wilson(self.enough.into(), self.times.into());
        rate.clean_runs_to_call_it_fixed().filter(|_| self.scenario.clock == Clock::Parallel)
    }
}

fn finish(arguments: &Arguments, shrunk: &Shrunk, folder: &Path) -> Result<u8, Trouble> {
    let beside = if arguments.run.is_dir() { arguments.run.clone() } else { folder.to_owned() };
    let out = arguments.out.clone().unwrap_or_else(|| beside.join("shrunk.toml"));
    let Shrunk { before, enough, times, made, not_judged, scenario } = shrunk;
    evidence::write_scenario(&out, scenario)?;
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": shrunk.exit() as u8, "holds_before": before.1, "holds": scenario.holds.len(),
            "cpus_before": before.0, "cpus": scenario.cpus, "failed": enough, "of": times, "updates": scenario.updates,
            "repetitions": made, "not_judged": not_judged, "clean_runs_to_call_it_fixed": shrunk.clean_runs(),
            "scenario": out,
        }));
    } else {
        output::text_line(&shrunk.text(&out));
    }
    Ok(shrunk.exit() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Place, UntilSpec};

    fn shrunk(holds: usize, not_judged: u32) -> Shrunk {
        let (at, until) = (Place::State(1), UntilSpec::Time { time_us: 5 });
        let hold = HoldSpec { limit_ms: 1, required: false, ..HoldSpec::new(1, at, until) };
        let scenario = Scenario { holds: vec![hold; holds], ..Scenario::default() };
        Shrunk { before: (4, 2), enough: 5, times: 5, made: 9, not_judged, scenario }
    }

    #[test]
    fn a_failure_that_needs_no_hold_says_so() {
        let text = shrunk(0, 0).text(Path::new("s.toml"));
        assert!(
            text.starts_with("needs no schedule: any run fails on 4 CPUs, from 2 holds on 4; fails 5 times in 5"),
            "{text}"
        );
        assert!(text.contains("see it:    cargo rig replay s.toml --times 5\n"), "{text}");
        assert!(text.contains("cargo rig replay s.toml --times 6 --kernel FIXED"), "{text}");
    }

    #[test]
    fn a_schedule_that_repeats_runs_once_on_a_fix() {
        let mut shrunk = shrunk(1, 0);
        shrunk.scenario.clock = Clock::Deterministic;
        let text = shrunk.text(Path::new("s.toml"));
        assert!(text.contains("cargo rig replay s.toml --times 1 --kernel FIXED"), "{text}");
        assert!(text.contains("1 hold on 4 CPUs, from") && text.contains("CPU 1 waits at state:1 (pass 1)"), "{text}");
    }

    #[test]
    fn candidates_that_were_not_judged_are_told_and_no_success() {
        assert_eq!(shrunk(1, 0).exit(), Exit::Passed);
        assert_eq!(shrunk(1, 3).exit(), Exit::Environment);
        assert!(shrunk(1, 3).text(Path::new("s")).contains("3 repetitions were not judged"));
    }

    #[test]
    fn only_a_schedule_that_fails_can_be_shrunk() {
        let tally = |failed, passed, not_judged| Tally { failed, passed, not_judged, not_run: 0 };
        let enough = |tally| enough(tally, Path::new("runs/x"));
        assert_eq!(enough(tally(4, 1, 0)), Ok(4));
        assert_eq!(enough(tally(0, 5, 0)).unwrap_err().exit, Exit::Usage);
        assert_eq!(enough(tally(4, 0, 1)).unwrap_err().exit, Exit::Environment);
    }

    #[test]
    fn a_run_that_passed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_failed(dir.path()).is_ok(), "nothing is known of it");
        let write = |outcome| {
            let verdict = Verdict::unjudged(rig_judge::Facts::default(), outcome, "", None);
            std::fs::write(dir.path().join("verdict.json"), serde_json::to_string(&verdict).unwrap()).unwrap();
        };
        write(Outcome::Failed);
        assert!(check_failed(dir.path()).is_ok());
        write(Outcome::Passed);
        assert!(check_failed(dir.path()).unwrap_err().cause.ends_with("passed"));
    }
}
