//! `report.html`: one self-contained page that works from the file system.
//!
//! The page is a fixed document with the run's data in one JSON element; its script draws the lanes on a canvas and builds
//! the tables. Nothing is loaded from anywhere. No markup is made from strings of a run, so there is nothing that a template
//! engine would have to escape.

use super::ended_at_breach::ENDED_AT_BREACH;
use super::rows::rows;
use crate::scene::Scene;
use crate::verdict::Verdict;
use crate::{Invariant, Step};
use serde::Serialize;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What the script gets.
#[derive(Serialize)]
struct Data<'a> {
    verdict: &'a Verdict,
    scene: &'a Scene,
    headline: HeadlineData,
    /// Names and lines of what is known of the run.
    facts: Vec<(&'static str, Vec<String>)>,
    /// How each invariant came out, in words.
    notes: BTreeMap<&'static str, String>,
    /// Invariants that broke as the scenario expects.
    expected: Vec<&'static str>,
    /// What a dash means, after a breach that ended the machine.
    ended: Option<&'static str>,
    steps: Vec<&'static str>,
    /// Of each leaf and of each step: how many took how long.
    histograms: Vec<HistogramData>,
    /// Points of the timeline at which an invariant broke.
    breaches: Vec<BreachMark>,
}

#[derive(Serialize)]
struct HeadlineData {
    word: String,
    what: String,
}

#[derive(Serialize)]
struct HistogramData {
    kind: &'static str,
    name: String,
    /// Lower bound of a bucket in nanoseconds, and how many fell in it; each bucket ends where the next half octave begins.
    buckets: Vec<(u64, u64)>,
}

#[derive(Serialize)]
struct BreachMark {
    invariant: Invariant,
    at_ns: u64,
    lp: Option<u16>,
    what: String,
}

/// The page.
pub fn html(scene: &Scene, verdict: &Verdict) -> String {
    let headline = verdict.headline();
    let data = Data {
        verdict,
        scene,
        headline: HeadlineData { word: headline.word, what: headline.what },
        facts: rows(&verdict.facts, "→", true),
        notes: Invariant::ALL.iter().map(|i| (i.name(), verdict.note(*i))).collect(),
        expected: Invariant::ALL.iter().filter(|i| verdict.is_expected_breach(**i)).map(|i| i.name()).collect(),
        ended: verdict.ended_at_breach.then_some(ENDED_AT_BREACH),
        steps: Step::ALL[1..].iter().map(|s| s.name()).collect(),
        histograms: histograms(scene),
        breaches: marks(scene, verdict),
    };
    self_contained(PAGE, &data, SCRIPT)
}

/// A page of its own with the style of reports: `page` has the marks `/*style*/`, `/*data*/` and `/*script*/`, in this order.
pub fn self_contained(page: &str, data: &impl Serialize, script: &str) -> String {
    // "<" is the only character by which data could end the element that holds it.
    let json = serde_json::to_string(data).expect("the data is plain").replace('<', "\\u003c");
    fill(page, &[("/*style*/", STYLE), ("/*data*/", &json), ("/*script*/", script)])
}

/// Replaces each mark once, from the left, never inside what was filled in.
fn fill(page: &str, parts: &[(&str, &str)]) -> String {
    let mut rest = page;
    let mut text = String::with_capacity(page.len() + parts.iter().map(|(_, with)| with.len()).sum::<usize>());
    for (mark, with) in parts {
        let (before, after) = rest.split_once(mark).expect("the page has every mark, in this order");
        text += before;
        text += with;
        rest = after;
    }
    text + rest
}

fn marks(scene: &Scene, verdict: &Verdict) -> Vec<BreachMark> {
    let cited = verdict.breaches.iter().flat_map(|breach| breach.events.iter().map(move |event| (breach, event)));
    cited
        .map(|(breach, event)| BreachMark {
            invariant: breach.invariant,
            at_ns: scene.time_of(event.seq, event.guest_ns),
            lp: event.lp,
            what: format!("{}: {}", breach.summary(), event.what),
        })
        .collect()
}

fn histograms(scene: &Scene) -> Vec<HistogramData> {
    let mut leaves: BTreeMap<&str, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut steps: BTreeMap<Step, BTreeMap<u64, u64>> = BTreeMap::new();
    for lane in &scene.lanes {
        for (call, end_ns) in lane.calls.iter().filter_map(|call| Some((call, call.end_ns?))) {
            *leaves.entry(&call.leaf).or_default().entry(bucket(end_ns - call.begin_ns)).or_default() += 1;
        }
        for (slice, acked_ns) in lane.steps.iter().filter_map(|slice| Some((slice, slice.acked_ns?))) {
            *steps
                .entry(slice.step)
                .or_default()
                .entry(bucket(acked_ns.saturating_sub(slice.begin_ns)))
                .or_default() += 1;
        }
    }
    let of = |kind, name: &str, buckets: BTreeMap<u64, u64>| HistogramData {
        kind,
        name: name.into(),
        buckets: buckets.into_iter().collect(),
    };
    let steps = steps.into_iter().map(|(step, buckets)| of("step", step.name(), buckets));
    steps.chain(leaves.into_iter().map(|(leaf, buckets)| of("leaf", leaf, buckets))).collect()
}

/// The lower bound of a duration's bucket: two buckets to the octave.
fn bucket(ns: u64) -> u64 {
    let Some(log) = ns.checked_ilog2() else { return 0 };
    let octave = 1 << log;
    if ns >= octave + octave / 2 { octave + octave / 2 } else { octave }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Facts;
    use crate::scene::{CallSlice, Lane, StepSlice};
    use crate::synthetic::{Synthetic, Twist};

    #[test]
    fn durations_fall_into_half_octaves() {
        let table =
            [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 6), (7, 6), (1000, 768), (1024, 1024), (1536, 1536)];
        for (ns, expected) in table {
            assert_eq!(bucket(ns), expected, "{ns}");
        }
    }

    /// Calls that returned and steps that were acknowledged are counted, each in the bucket of its duration.
    #[test]
    fn durations_are_counted_by_leaf_and_step() {
        let call = |leaf: &str, begin_ns, end_ns| CallSlice {
            leaf: leaf.into(),
            begin_ns,
            end_ns,
            status: None,
            interrupts: false,
        };
        let step = |step, begin_ns, acked_ns| StepSlice { update: 1, step, begin_ns, acked_ns, end_ns: 9000 };
        let calls = vec![
            call("INSTALL", 1000, Some(1100)),
            call("INSTALL", 2000, Some(2120)),
            call("INSTALL", 3000, Some(3040)),
            call("SYS.UPDATE", 1000, Some(1000)),
            call("SYS.UPDATE", 5000, None),
        ];
        let steps = vec![
            step(Step::CpuInstall, 1000, Some(1200)),
            step(Step::CpuInstall, 1000, Some(1220)),
            step(Step::Shutdown, 1000, Some(900)),
            step(Step::Done, 1000, None),
        ];
        let lanes = vec![Lane { lp: 0, steps, calls: Vec::new() }, Lane { lp: 1, steps: Vec::new(), calls }];
        let all = histograms(&Scene { lanes, ..Scene::default() });
        let all: Vec<_> = all.iter().map(|h| (h.kind, h.name.as_str(), h.buckets.as_slice())).collect();
        let expected = [
            ("step", "SHUTDOWN", [(0, 1)].as_slice()),
            ("step", "CPU_INSTALL", &[(192, 2)]),
            ("leaf", "INSTALL", &[(32, 1), (96, 2)]),
            ("leaf", "SYS.UPDATE", &[(0, 1)]),
        ];
        assert_eq!(all, expected);
    }

    /// Each event that a breach cites is marked where it happened.
    #[test]
    fn the_evidence_of_a_breach_is_marked() {
        let run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
        let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
        let verdict = Verdict::new(Facts::default(), &run.judge().0, &run.end);
        let marks = marks(&scene, &verdict);
        let breach = &verdict.breaches[0];
        assert_eq!(marks.len(), verdict.breaches.iter().map(|breach| breach.events.len()).sum::<usize>());
        for (mark, event) in marks.iter().zip(&breach.events) {
            assert_eq!((mark.invariant, mark.at_ns, mark.lp), (breach.invariant, event.guest_ns, event.lp));
            assert!(mark.what.starts_with(&breach.summary()) && mark.what.ends_with(&event.what), "{}", mark.what);
        }
    }

    #[test]
    fn data_cannot_end_its_element() {
        let run = Synthetic::plain(1, 1);
        let console = vec!["</script><script>alert(1)</script>".to_string(); run.console.len()];
        let scene = Scene::of(&run.setup, run.records.clone(), &console);
        let verdict = Verdict::new(Facts::default(), &run.judge().0, &run.end);
        let page = html(&scene, &verdict);
        assert!(!page.contains("alert(1)</script>") && page.contains("\\u003c/script>"));
        // The name of a namespace is no address to load from.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for remote in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(remote), "the page refers to {remote}");
        }
    }
}
