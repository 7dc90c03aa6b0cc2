//! Expectations turned into their opposites: what a run of the unchanged kernel must then fail, and by which check.

use rig::scenario::{Ending, Endings, FaultSpec, HoldSpec, Scenario, Subject, TdRefusal, UpdateEnding};
use rig_judge::Invariant;
use rig_wire::agent::Load;
use std::collections::BTreeMap;

/// A scenario that must fail.
pub(crate) struct Inverted {
    /// The kind of expectation that was turned round.
    pub(crate) kind: &'static str,
    /// The scenario with it.
    pub(crate) scenario: Scenario,
    /// What shows that it is not met.
    pub(crate) shown_by: ShownBy,
}

/// What shows that an expectation is not met.
pub(crate) enum ShownBy {
    /// A check whose name begins so.
    Check(&'static str),
    /// A check that expected this.
    Expected(&'static str),
    /// The verdict itself, of this name.
    Verdict(&'static str),
}

/// Every expectation that the scenario has, turned round one at a time.
pub(crate) fn all(scenario: &Scenario) -> Vec<Inverted> {
    let mut list = List { scenario, inverted: Vec::new() };
    if scenario.expect.verdict != Ending::Passed {
        list.endings();
        return list.inverted;
    }
    list.updates();
    list.words();
    list.demands();
    list.acts();
    list.trust_domains();
    list.defect();
    list.inverted
}

/// For each scenario the kind that was turned round least often before it, so that each kind has its turn.
pub(crate) fn one_of_each(scenarios: &[Scenario]) -> Vec<Inverted> {
    let mut turns: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for scenario in scenarios {
        let candidates = all(scenario).into_iter();
        let Some(inverted) = candidates.min_by_key(|inverted| turns.get(inverted.kind).copied().unwrap_or(0)) else {
            continue;
        };
        *turns.entry(inverted.kind).or_default() += 1;
        chosen.push(inverted);
    }
    chosen
}

struct List<'a> {
    scenario: &'a Scenario,
    inverted: Vec<Inverted>,
}

impl List<'_> {
    fn add(&mut self, kind: &'static str, shown_by: ShownBy, change: impl FnOnce(&mut Scenario)) {
        let mut scenario = self.scenario.clone();
        change(&mut scenario);
        self.inverted.push(Inverted { kind, scenario, shown_by });
    }

    /// What must break, hang or crash.
    fn endings(&mut self) {
        self.add("verdict", ShownBy::Verdict("failed"), |s| {
            (s.expect.verdict, s.expect.broken) = (Ending::Passed, Vec::new());
        });
        self.add("broken", ShownBy::Check("verdict"), |s| {
            (s.expect.verdict, s.expect.broken) = (Ending::Failed, vec![Invariant::QuietKernel]);
        });
    }

    fn updates(&mut self) {
        let scenario = self.scenario;
        if let Endings::Each(each) = &scenario.expect.update {
            let mut each = each.clone();
            let last = each.last_mut().expect("a list of endings is not empty");
            *last = opposite(*last);
            self.add("each update", ShownBy::Check("update "), |s| s.expect.update = Endings::Each(each));
        } else if scenario.updates > 0 {
            let name = if scenario.expect.update.is_absent() { "update interface" } else { "last update" };
            let other = opposite(scenario.expect.update.last());
            self.add("update", ShownBy::Check(name), |s| s.expect.update = other.into());
        }
        if let Some(number) = scenario.expect.succeeded {
            let other = if number == scenario.updates { number - 1 } else { number + 1 };
            self.add("succeeded", ShownBy::Check("updates that succeed"), |s| s.expect.succeeded = Some(other));
        }
        if scenario.expect.update.last() == UpdateEnding::Lost && scenario.expect.succeeded.is_none() {
            let all = scenario.updates;
            self.add("succeeded_at_least", ShownBy::Check("updates that succeed"), |s| {
                s.expect.succeeded_at_least = Some(all);
            });
        }
        if scenario.expect.update_error.is_some() {
            self.add("update_error", ShownBy::Check("upload error"), |s| {
                s.expect.update_error = Some("hw-error".parse().expect("the kernel has this one"));
            });
        }
    }

    fn words(&mut self) {
        self.add("console", ShownBy::Check("kernel log"), |s| s.expect.console.push("no kernel says this".into()));
        if !self.scenario.expect.allowed_console.is_empty() {
            self.add("allowed_console", ShownBy::Verdict("failed"), |s| s.expect.allowed_console.clear());
        }
        for (kind, is_there) in [("hw", !self.scenario.hw.is_empty()), ("client", !self.scenario.clients.is_empty())] {
            if is_there {
                self.add(kind, ShownBy::Expected("exit code 9"), |s| {
                    s.hw.iter_mut().for_each(|order| order.code = 9);
                    s.clients.iter_mut().for_each(|order| order.code = 9);
                });
            }
        }
    }

    /// Something is demanded that the scenario cannot show.
    fn demands(&mut self) {
        let held = self.scenario.demands().held;
        let unseen = [Invariant::Concurrency, Invariant::Preservation].into_iter().find(|one| !held.contains(one));
        if let Some(unseen) = unseen {
            self.add("held", ShownBy::Check("invariant "), |s| {
                s.expect.held = Some(held.into_iter().chain([unseen]).collect());
            });
        }
    }

    /// Things that are to happen, and cannot.
    fn acts(&mut self) {
        let scenario = self.scenario;
        if scenario.updates > 0 && !scenario.faults.is_empty() {
            let text = "leaf = \"SEAMLDR.INSTALL\"\nnth = 60000\naction = \"vm-fail-invalid\"";
            let fault: FaultSpec = toml::from_str(text).expect("it is a fault");
            self.add("fault", ShownBy::Check("fault of "), |s| s.faults.push(fault));
        }
        if !scenario.holds.is_empty() && scenario.subject == Subject::InTree {
            let text = "cpu = 1\nat = \"state:99\"\nuntil = { time_us = 1 }";
            let hold: HoldSpec = toml::from_str(text).expect("it is a hold");
            self.add("hold", ShownBy::Expected("satisfied"), |s| s.holds.push(hold));
        }
        if !scenario.load.is_empty() {
            let paths = vec!["/sys/nothing-here".to_owned()];
            self.add("load", ShownBy::Check("load "), |s| {
                s.load.push(Load::Reader { paths, threads: 1, only: Vec::new() });
            });
        }
        if !scenario.switches.is_empty() {
            self.add("switch", ShownBy::Check("CPU "), |s| {
                s.switches.iter_mut().for_each(|switch| switch.errno = Some(switch.errno.map_or(5, |e| e + 1)));
            });
        }
    }

    fn trust_domains(&mut self) {
        let Some(tds) = self.scenario.tds.clone() else { return };
        if tds.count > 0 {
            let other = if self.scenario.expect.tds_lost.is_some() { None } else { Some(1) };
            self.add("tds_lost", ShownBy::Check("TDs lost"), |s| s.expect.tds_lost = other);
        }
        if tds.churn + tds.cycles > 0 {
            self.add("td_refused", ShownBy::Check("a TD refused"), |s| {
                s.expect.td_refused = Some(TdRefusal { errno: 4000, words: String::new() });
            });
        }
        self.add("leaked", ShownBy::Check("left in the firmware"), |s| {
            s.expect.leaked.get_or_insert_default().tds += 77;
        });
    }

    /// The repaired kernel is taken for the one with the defect, and the other way round.
    fn defect(&mut self) {
        if let Some(repaired) = self.scenario.repaired() {
            self.add("known_defect", ShownBy::Verdict("xpass"), |s| {
                let defect = s.expect.clone();
                s.expect = repaired.expect;
                s.expect.known_defect.clone_from(&defect.known_defect);
                s.expect.repaired =
                    Some(Box::new(rig::scenario::Expect { known_defect: None, repaired: None, ..defect }));
            });
        }
    }
}

fn opposite(ending: UpdateEnding) -> UpdateEnding {
    match ending {
        UpdateEnding::Updated | UpdateEnding::ModuleRuns => UpdateEnding::Unchanged,
        UpdateEnding::Unchanged => UpdateEnding::Lost,
        UpdateEnding::Lost | UpdateEnding::Absent => UpdateEnding::Updated,
    }
}

/// A kind that no scenario has is never inverted, so this test would not notice that its check is missing.
#[test]
fn each_kind_of_expectation_is_turned_round_in_some_machine() {
    use rig::scenario::{Tag, catalogue};
    use std::collections::BTreeSet;
    let scenarios = catalogue::suite(Tag::Full);
    let possible: BTreeSet<_> = scenarios.iter().flat_map(all).map(|inverted| inverted.kind).collect();
    let chosen: BTreeSet<_> = one_of_each(&scenarios).iter().map(|inverted| inverted.kind).collect();
    assert_eq!(chosen, possible, "each kind has its turn");
    let kinds = [
        "allowed_console",
        "broken",
        "client",
        "console",
        "each update",
        "fault",
        "held",
        "hold",
        "hw",
        "known_defect",
        "leaked",
        "load",
        "succeeded",
        "succeeded_at_least",
        "switch",
        "td_refused",
        "tds_lost",
        "update",
        "update_error",
        "verdict",
    ];
    assert!(kinds.iter().all(|kind| chosen.contains(kind)), "{chosen:?}");
    for inverted in one_of_each(&scenarios) {
        assert_eq!(inverted.scenario.check(), Ok(()), "{}: {}", inverted.scenario.name, inverted.kind);
    }
}
