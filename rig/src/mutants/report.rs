//! All mutants and whether each is accounted for.

use super::explained::{Explanation, Kind};
use super::{Judgement, Record};
use crate::trouble::Exit;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a mutant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A scenario noticed it, or the rig refused it.
    Caught,
    /// It does not compile.
    Uncompiled,
    /// It passed, and it was shown that it is no error.
    Equivalent,
    /// It passed although it is an error, and the table explains why no scenario can find it.
    Unseen,
    /// It passed, and the table does not explain why. This counts as a gap of the judge until an argument shows that it is none.
    Unexplained,
    /// The rig or this machine failed.
    Unjudged,
}

/// One mutant.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What came of it.
    #[serde(flatten)]
    pub record: Record,
    /// How it stands.
    pub standing: Standing,
    /// Why it may pass, if it does.
    pub why: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order of the source.
    pub rows: Vec<Row>,
    /// Arguments that are about no mutant which passed, in one line each.
    pub stale: Vec<String>,
    /// Mutants that were to be judged and were not reached.
    pub left: usize,
}

/// What the compiler's word is worth.
const SAME_OBJECT: &str = "The compiler makes the same object file of it as of the unmodified source.";

impl Report {
    /// Puts records and arguments together. Arguments are about those mutants only for which `is_chosen`.
    pub(super) fn new(
        records: Vec<Record>,
        explanations: &[Explanation],
        left: usize,
        is_chosen: impl Fn(&str) -> bool,
    ) -> Self {
        let judged: BTreeMap<String, Record> = records.iter().map(|r| (r.mutant.clone(), r.clone())).collect();
        let rows: Vec<Row> = records.into_iter().map(|record| row(record, &judged, explanations)).collect();
        let is_used = |explanation: &&Explanation| {
            let passed = |row: &&Row| matches!(row.record.judgement, Judgement::Passed { .. });
            rows.iter().filter(passed).any(|row| explanation.is_of(&row.record))
        };
        let chosen = explanations.iter().filter(|explanation| is_chosen(&explanation.mutant));
        let unused = chosen.filter(|explanation| left == 0 && !is_used(explanation));
        let stale = unused.map(|e| format!("{} is explained, but it did not pass with that text", e.mutant)).collect();
        Self { rows, stale, left }
    }

    /// How many stand so.
    pub fn count(&self, standing: Standing) -> usize {
        self.rows.iter().filter(|row| row.standing == standing).count()
    }

    /// A mutant or an argument that is not accounted for outranks trouble of the rig.
    pub fn exit(&self) -> Exit {
        if self.count(Standing::Unexplained) > 0 || !self.stale.is_empty() {
            Exit::Failed
        } else if self.count(Standing::Unjudged) > 0 || self.left > 0 {
            Exit::Environment
        } else {
            Exit::Passed
        }
    }
}

fn row(record: Record, judged: &BTreeMap<String, Record>, explanations: &[Explanation]) -> Row {
    let origin = match &record.judgement {
        Judgement::SameCode { of: Some(mutant) } => judged.get(mutant),
        _ => None,
    };
    let (standing, why) = standing(origin.unwrap_or(&record), explanations);
    Row { record, standing, why }
}

fn standing(record: &Record, explanations: &[Explanation]) -> (Standing, Option<String>) {
    match &record.judgement {
        Judgement::Uncompiled { .. } => (Standing::Uncompiled, None),
        Judgement::Caught { .. } | Judgement::Refused { .. } => (Standing::Caught, None),
        Judgement::SameCode { of: None } => (Standing::Equivalent, Some(SAME_OBJECT.to_owned())),
        Judgement::Passed { .. } => match explanations.iter().find(|explanation| explanation.is_of(record)) {
            Some(Explanation { kind: Kind::Equivalent, why, .. }) => (Standing::Equivalent, Some(why.clone())),
            Some(Explanation { kind: Kind::Unseen, why, .. }) => (Standing::Unseen, Some(why.clone())),
            None => (Standing::Unexplained, None),
        },
        // The other one was not judged, so this one was not, either.
        Judgement::Unjudged { .. } | Judgement::SameCode { .. } => (Standing::Unjudged, None),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Rule;
    use super::Standing::{Caught, Equivalent, Unexplained, Unjudged};
    use super::*;
    use rig_judge::Outcome;

    pub(in super::super) fn record(mutant: &str, judgement: Judgement) -> Record {
        Record {
            mutant: mutant.into(),
            key: "key".into(),
            file: "x.c".into(),
            function: "f".into(),
            rule: Rule::OneMore,
            line: 1,
            before: "a | b".into(),
            after: "b".into(),
            diff: "-a\n+b\n".into(),
            object: None,
            judgement,
        }
    }

    pub(in super::super) fn caught() -> Judgement {
        let by = vec!["lockstep".to_owned()];
        Judgement::Caught {
            scenario: "plain".into(),
            outcome: Outcome::Failed,
            by,
            reason: Some("CPU 1 ran ahead".into()),
        }
    }

    pub(in super::super) fn passed() -> Judgement {
        Judgement::Passed { scenarios: vec!["plain".into(), "five-updates".into()] }
    }

    fn argument(mutant: &str) -> Explanation {
        Explanation {
            mutant: mutant.into(),
            before: "a".into(),
            kind: Kind::Unseen,
            why: "It is never reached.".into(),
        }
    }

    fn report(records: Vec<Record>, explanations: &[Explanation]) -> Report {
        Report::new(records, explanations, 0, |_| true)
    }

    #[test]
    fn a_pass_without_an_argument_fails() {
        let report =
            |explanations: &[Explanation]| report(vec![record("f:1", caught()), record("f:2", passed())], explanations);
        assert_eq!(report(&[]).exit(), Exit::Failed);
        assert_eq!(report(&[argument("f:2")]).exit(), Exit::Passed);
    }

    #[test]
    fn an_argument_for_what_is_caught_or_gone_fails() {
        for gone in ["f:1", "f:9"] {
            let report = report(vec![record("f:1", caught())], &[argument(gone)]);
            assert_eq!((report.exit(), report.stale.len()), (Exit::Failed, 1), "{gone}");
        }
        let other =
            Report::new(vec![record("f:1", caught())], &[argument("g:9")], 0, |mutant| mutant.starts_with("f:"));
        assert_eq!(other.exit(), Exit::Passed);
    }

    #[test]
    fn the_same_code_stands_as_the_other_does() {
        let same = |mutant: Option<&str>| Judgement::SameCode { of: mutant.map(str::to_owned) };
        let records = vec![
            record("f:1", caught()),
            record("f:2", passed()),
            record("f:3", same(Some("f:1"))),
            record("f:4", same(Some("f:2"))),
            record("f:5", same(None)),
            record("f:6", same(Some("f:9"))),
        ];
        let standings: Vec<Standing> = report(records, &[]).rows.iter().map(|row| row.standing).collect();
        assert_eq!(standings, [Caught, Unexplained, Caught, Unexplained, Equivalent, Unjudged]);
    }

    #[test]
    fn what_was_not_judged_is_no_pass() {
        let trouble = Judgement::Unjudged { scenario: "plain".into(), reason: "no disk".into() };
        assert_eq!(report(vec![record("f:1", trouble)], &[]).exit(), Exit::Environment);
        let stopped = Report::new(vec![record("f:1", caught())], &[argument("f:2")], 1, |_| true);
        assert_eq!((stopped.exit(), stopped.stale.len()), (Exit::Environment, 0));
    }
}
