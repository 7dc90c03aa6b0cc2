//! The answer to a claim as a person reads it.

use super::answer::Answer;
use super::evidence::{ClaimEvidence, ProofResult, SeedsResult};
use crate::explore::statistics::Rate;
use crate::scenario::{Claim, Scenario};
use std::fmt::Write as _;

/// Steps of a counterexample that are shown; `rig prove` shows all.
const SHOWN: usize = 40;

/// The answer, the evidence for it, and what it does not say. `kernel` names the kernel.
pub fn text(claim: &Claim, scenario: &Scenario, kernel: &str, evidence: &ClaimEvidence) -> String {
    let answer = Answer::of(claim, evidence);
    let mut text = format!("{}  {}\n\n", answer.word(), claim.says);
    let mut row = |name: &str, what: &str| _ = writeln!(text, "  {name:9} {what}");
    if !claim.source.is_empty() {
        row("source", &claim.source);
    }
    row("kernel", kernel);
    row("shown by", &claim.shown_by);
    row("runs", &runs(claim, evidence));
    if let Some((_, ran)) = evidence.shown_in_run(claim) {
        row("seen", ran.reason.as_deref().unwrap_or(""));
        row("schedule", &schedule(scenario));
        row(
            "report",
            &ran.run_dir.as_ref().map_or_else(String::new, |dir| dir.join("report.html").display().to_string()),
        );
    }
    if evidence.unseen > 0 {
        row("but", &format!("in {} runs {} was not observed, as their verdicts say", evidence.unseen, claim.shown_by));
    }
    for ran in evidence.failed_otherwise(claim) {
        row("but", &format!("a run came to something else: {}", ran.reason.as_deref().unwrap_or("")));
    }
    if let Some(seeds) = &evidence.seeds {
        row("seeds", &explored(seeds));
    }
    if let Some(proof) = &evidence.proof {
        row("orders", &orders(proof, claim));
    }
    if let Some(proof) = evidence.proof.as_ref().filter(|proof| proof.broken.is_some()) {
        proof.steps.iter().take(SHOWN).for_each(|step| row("", step));
    }
    text + "\n" + limits(answer)
}

fn runs(claim: &Claim, evidence: &ClaimEvidence) -> String {
    let (made, judged) = (evidence.runs.len(), evidence.judged_runs());
    let unjudged = match made - judged {
        0 => String::new(),
        rest => format!(", {rest} not judged"),
    };
    match evidence.shown_in_run(claim) {
        Some((number, _)) => format!("seen in run {number} of at most {}{unjudged}", claim.runs),
        None if judged == 0 => format!("none of {made} was judged"),
        None => {
            let most = Rate::wilson(0, judged as u64).high * 100.0;
            format!("not seen in {judged} of {judged}{unjudged}: in less than {most:.1} % of runs (Wilson, 95 %)")
        }
    }
}

/// The holds, which make the order.
fn schedule(scenario: &Scenario) -> String {
    if scenario.holds.is_empty() {
        return "no hold is needed".into();
    }
    let holds = scenario.holds.iter().map(|hold| format!("CPU {} waits at {} until {}", hold.cpu, hold.at, hold.until));
    holds.collect::<Vec<_>>().join("; ")
}

fn explored(seeds: &SeedsResult) -> String {
    let SeedsResult { judged, not_judged, failed, shown } = seeds;
    let rest = if *not_judged > 0 { format!(", {not_judged} not judged") } else { String::new() };
    match shown {
        Some((seed, run)) => {
            let run = run.as_ref().map_or_else(String::new, |run| format!(": {}", run.display()));
            format!("seen with seed {seed}, after {judged} schedules{rest}{run}")
        }
        None => format!("not seen in {judged} schedules{rest}, of which {failed} failed otherwise"),
    }
}

fn orders(proof: &ProofResult, claim: &Claim) -> String {
    let ProofResult { cpus, failures, rules, broken, states, transitions, .. } = proof;
    let failing = if *failures { "one SEAMCALL may fail" } else { "no SEAMCALL fails" };
    let what = format!("{states} states and {transitions} operations on {cpus} CPUs, {failing}");
    match broken {
        Some(rule) => format!("{rule} breaks: {what}"),
        None if rules.contains(&claim.shown_by) => {
            format!("all of the section's machine code, and none breaks it: {what}")
        }
        None => format!("all of the section's machine code, which say nothing of {}: {what}", claim.shown_by),
    }
}

/// What the answer does not say.
const fn limits(answer: Answer) -> &'static str {
    match answer {
        Answer::Reproduced => "It was seen in an emulated machine. The report has the events that show it.",
        Answer::Refuted => {
            "No order of the operations on so many CPUs breaks it. What the exploration takes for given is in docs/proofs.md."
        }
        Answer::NotReproduced => "That is no proof. Other schedules, more CPUs or another kernel may show it.",
        Answer::NotJudged => "Nothing was judged, which says nothing of the claim.",
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{claim, proof};
    use super::*;
    use crate::suite::tests::example;
    use rig_judge::Outcome;

    fn says(evidence: &ClaimEvidence) -> String {
        text(&claim(), &Scenario::default(), "Linux 7.3.4", evidence)
    }

    #[test]
    fn what_was_seen_has_its_schedule_and_its_report() {
        let mut seen = example("x", Outcome::Failed);
        seen.run_dir = Some("runs/x".into());
        let text = says(&ClaimEvidence { runs: vec![seen], ..ClaimEvidence::default() });
        assert!(text.starts_with("REPRODUCED  CPUs race.\n"), "{text}");
        assert!(text.contains("seen in run 1 of at most 2") && text.contains("runs/x/report.html"), "{text}");
        assert!(text.contains("schedule  no hold is needed"), "{text}");
    }

    #[test]
    fn what_was_not_seen_has_its_bound() {
        let runs = vec![example("x", Outcome::Passed); 20];
        let text = says(&ClaimEvidence { runs, ..ClaimEvidence::default() });
        assert!(text.starts_with("NOT REPRODUCED  CPUs race.\n"), "{text}");
        assert!(text.contains("not seen in 20 of 20: in less than 16.1 % of runs"), "{text}");
        assert!(text.ends_with("may show it."), "{text}");
    }

    #[test]
    fn a_proof_says_what_it_is_about() {
        let evidence = ClaimEvidence {
            runs: vec![example("x", Outcome::Passed)],
            proof: Some(proof(None)),
            ..ClaimEvidence::default()
        };
        let text = says(&evidence);
        assert!(text.starts_with("REFUTED") && text.contains("none breaks it: 100 states"), "{text}");
        let other = Claim { shown_by: "load reader".into(), ..claim() };
        let text = super::text(&other, &Scenario::default(), "Linux", &evidence);
        assert!(text.starts_with("NOT REPRODUCED") && text.contains("say nothing of load reader"), "{text}");
    }
}
