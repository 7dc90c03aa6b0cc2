//! Which invariants a run must show to hold: those that the scenario names, else those that follow from what it has.

use super::{Ending, Endings, FaultSpec, Scenario, UpdateEnding};
use rig_judge::{Invariant, LoadDemands};
use rig_wire::agent::{Load, TdStage};
use seam_emu::abi::Leaf;
use std::collections::BTreeSet;

/// Invariants that a run must show to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Which, in the order of reports.
    pub held: BTreeSet<Invariant>,
    /// The scenario names them; else they follow from what it has.
    pub written: bool,
}

/// What every update that succeeds must show.
const OF_SUCCESS: [Invariant; 8] = [
    Invariant::Participation,
    Invariant::Lockstep,
    Invariant::LeadOnly,
    Invariant::UpdateOnly,
    Invariant::InterruptsOff,
    Invariant::SerialLoader,
    Invariant::Progress,
    Invariant::StableCpus,
];

/// What an update must show that fails once the old module is shut down.
const OF_LOSS: [Invariant; 5] = [
    Invariant::Lockstep,
    Invariant::InterruptsOff,
    Invariant::SerialLoader,
    Invariant::Progress,
    Invariant::StableCpus,
];

/// What an update must show in which SHUTDOWN fails.
const OF_REFUSAL: [Invariant; 3] = [Invariant::InterruptsOff, Invariant::Progress, Invariant::StableCpus];

/// Leaves that an update calls inside `stop_machine`.
const STEPS: [Leaf; 5] = [Leaf::SysShutdown, Leaf::LdrInstall, Leaf::SysInit, Leaf::SysLpInit, Leaf::SysUpdate];

impl Scenario {
    /// The invariants that must be observed to hold.
    pub fn demands(&self) -> Demands {
        match &self.expect.held {
            Some(held) => Demands { held: held.iter().copied().collect(), written: true },
            None => Demands { held: self.derived(), written: false },
        }
    }

    /// The scenario as it must come out on a kernel without the known defect; none: it describes no defect.
    pub fn repaired(&self) -> Option<Self> {
        let mut repaired = self.clone();
        repaired.expect = *self.expect.repaired.clone()?;
        repaired.switches.iter_mut().for_each(|switch| switch.errno = None);
        Some(repaired)
    }

    fn derived(&self) -> BTreeSet<Invariant> {
        // A run that ends early shows no more than its end, and nested runs have demands of their own.
        if self.expect.verdict != Ending::Passed || self.nested.is_some() {
            return BTreeSet::new();
        }
        let updates = Updates::of(self);
        let mut held = BTreeSet::from([Invariant::QuietKernel]);
        let stops = updates.lost || (updates.fails && self.faults.iter().any(fails_in_section));
        if updates.succeeds {
            held.extend(OF_SUCCESS);
        }
        if updates.lost {
            held.extend(OF_LOSS);
        }
        if stops && updates.outcome_recorded {
            held.extend(OF_REFUSAL);
            held.insert(Invariant::StopOnFailure);
        }
        let load = self.load_demands();
        if load.concurrency {
            held.insert(Invariant::Concurrency);
        }
        if load.tds_run_again && updates.succeeds && !updates.lost {
            held.insert(Invariant::Preservation);
        }
        held
    }

    /// What the judge may demand of a run under this scenario's loads and TDs.
    pub fn load_demands(&self) -> LoadDemands {
        let both = |load: &Load| matches!(load, Load::Seamcall { process_hz: 1.., timer_hz, ipi_hz, .. } if timer_hz + ipi_hz > 0);
        let running = |load: &Load| matches!(load, Load::TrustDomain { stage: TdStage::Running, .. });
        let long_lived = self.tds.as_ref().is_some_and(|tds| tds.count > 0);
        LoadDemands {
            concurrency: self.load.iter().any(both),
            tds_run_again: long_lived || self.load.iter().any(running),
        }
    }
}

/// Whether a fault has a CPU fail inside the section.
fn fails_in_section(fault: &FaultSpec) -> bool {
    let is_step = Leaf::from_name(&fault.leaf).is_some_and(|leaf| STEPS.contains(&leaf));
    fault.required && is_step && fault.is_failure()
}

/// What the updates of a run come to, as far as its expectation says.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Updates {
    /// At least one succeeds.
    succeeds: bool,
    /// At least one fails.
    fails: bool,
    /// At least one loses the module.
    lost: bool,
    /// The recording has the outcome that their uploader reported.
    outcome_recorded: bool,
}

impl Updates {
    fn of(scenario: &Scenario) -> Self {
        let expect = &scenario.expect;
        if expect.refused.is_some() || expect.update.is_absent() {
            return Self { succeeds: false, fails: false, lost: false, outcome_recorded: false };
        }
        if scenario.updates == 0 {
            return Self::of_programs(scenario);
        }
        let update = &expect.update;
        let number = expect.succeeded.into_iter().chain(expect.succeeded_at_least).max();
        let (succeeds, fails) = match update {
            Endings::Each(each) => {
                let succeeded = each.iter().filter(|ending| **ending == UpdateEnding::Updated).count();
                (succeeded > 0, succeeded < each.len())
            }
            Endings::Last(last) => {
                let succeeds = *last == UpdateEnding::Updated || number.is_some_and(|number| number > 0);
                let some_fail = expect.succeeded.is_some_and(|number| number < scenario.updates);
                (succeeds, *last != UpdateEnding::Updated || some_fail)
            }
        };
        Self { succeeds, fails, lost: update.any(UpdateEnding::Lost), outcome_recorded: true }
    }

    /// Updates that programs in the guest make: another version afterwards is one that succeeded.
    fn of_programs(scenario: &Scenario) -> Self {
        let hw = scenario.hw.iter().map(|order| order.version.as_deref());
        let versions = hw.chain(scenario.clients.iter().map(|order| order.version.as_deref()));
        let mut before = scenario.module.version_string();
        let mut updates = Self { succeeds: false, fails: false, lost: false, outcome_recorded: false };
        for version in versions.flatten() {
            match version {
                "lost" => updates.lost = true,
                version => updates.succeeds |= version != before,
            }
            version.clone_into(&mut before);
        }
        updates.fails = updates.lost;
        updates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{catalogue, from_text};

    fn derived(text: &str) -> BTreeSet<Invariant> {
        let scenario = from_text(&format!("name = \"x\"\n{text}"), "x.toml").unwrap();
        scenario.demands().held
    }

    fn all_of(invariants: &[Invariant], more: &[Invariant]) -> BTreeSet<Invariant> {
        let quiet = [Invariant::QuietKernel];
        quiet.iter().chain(invariants).chain(more).copied().collect()
    }

    #[test]
    fn an_update_that_succeeds_must_show_all_that_every_update_shows() {
        assert_eq!(derived(""), all_of(&OF_SUCCESS, &[]));
        assert_eq!(derived("updates = 2\nexpect.update = [\"updated\", \"updated\"]"), all_of(&OF_SUCCESS, &[]));
        let two = "updates = 2\n[expect]\nupdate = \"lost\"\nsucceeded = 1";
        assert_eq!(derived(two), all_of(&OF_SUCCESS, &[Invariant::StopOnFailure]));
    }

    #[test]
    fn an_update_that_never_reaches_the_section_shows_nothing() {
        for text in ["expect.update = \"unchanged\"", "expect.update = \"absent\"", "expect.refused = 1", "updates = 0"]
        {
            assert_eq!(derived(text), all_of(&[], &[]), "{text}");
        }
    }

    #[test]
    fn a_failure_inside_the_section_must_show_that_all_stop() {
        let fault =
            "[[faults]]\nleaf = \"TDH.SYS.SHUTDOWN\"\naction = { status = 1 }\n[expect]\nupdate = \"unchanged\"";
        assert_eq!(derived(fault), all_of(&OF_REFUSAL, &[Invariant::StopOnFailure]));
        assert_eq!(derived("expect.update = \"lost\""), all_of(&OF_LOSS, &[Invariant::StopOnFailure]));
        let retried = "[[faults]]\nleaf = \"TDH.SYS.INIT\"\naction = { status = 1 }";
        assert_eq!(derived(retried), all_of(&OF_SUCCESS, &[]), "nobody fails where all updates succeed");
        let elsewhere = "[[faults]]\nleaf = \"TDH.SYS.RD\"\naction = { status = 1 }\n[expect]\nupdate = \"unchanged\"";
        assert_eq!(derived(elsewhere), all_of(&[], &[]));
    }

    #[test]
    fn loads_and_trust_domains_have_demands_of_their_own() {
        let seamcalls = "[[load]]\nprofile = \"seamcall\"";
        assert_eq!(derived(seamcalls), all_of(&OF_SUCCESS, &[Invariant::Concurrency]));
        let one_context = "[[load]]\nprofile = \"seamcall\"\nprocess_hz = 0";
        assert_eq!(derived(one_context), all_of(&OF_SUCCESS, &[]));
        assert_eq!(derived("tds = { count = 1 }"), all_of(&OF_SUCCESS, &[Invariant::Preservation]));
        assert_eq!(derived("tds = { count = 0, cycles = 3 }"), all_of(&OF_SUCCESS, &[]));
        let scripted = "[[load]]\nprofile = \"trust-domain\"\ntds = 1\nvcpus = 1";
        assert_eq!(derived(scripted), all_of(&OF_SUCCESS, &[Invariant::Preservation]));
        assert_eq!(derived(&format!("{scripted}\nstage = \"building\"")), all_of(&OF_SUCCESS, &[]));
        assert_eq!(derived(&format!("expect.update = \"unchanged\"\n{scripted}")), all_of(&[], &[]));
    }

    #[test]
    fn another_version_after_a_program_is_an_update() {
        let client = |version: &str| {
            format!(
                "updates = 0\n[userspace]\npackages = [\"dash\"]\n[[client]]\nprogram = \"/x\"\nversion = \"{version}\""
            )
        };
        assert_eq!(derived(&client("1.5.07")), all_of(&OF_SUCCESS, &[]));
        assert_eq!(derived(&client("1.5.06")), all_of(&[], &[]));
        assert_eq!(derived(&client("lost")), all_of(&OF_LOSS, &[]));
    }

    #[test]
    fn what_is_written_stands_for_itself() {
        let scenario = from_text("name = \"x\"\nexpect.held = [\"progress\"]", "x.toml").unwrap();
        let demands = scenario.demands();
        assert_eq!(demands, Demands { held: BTreeSet::from([Invariant::Progress]), written: true });
    }

    #[test]
    fn whatever_the_catalogue_expects_to_pass_demands_something() {
        for scenario in catalogue::all() {
            let demands = scenario.demands();
            let ends_early = scenario.nested.is_some() || scenario.expect.verdict != Ending::Passed;
            assert_eq!(demands.held.is_empty(), ends_early && !demands.written, "{}", scenario.name);
        }
    }
}
