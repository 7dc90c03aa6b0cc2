//! Reports of a whole suite for continuous integration: JUnit, and KTAP (`Documentation/dev-tools/ktap.rst`).

use super::Ran;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use rig_judge::Outcome;
use std::fmt::Write as _;
use std::time::Duration;

/// One suite with a case for each scenario. Trouble of the rig is an error, not a failure.
pub fn junit(name: &str, results: &[Ran]) -> String {
    let mut suite = TestSuite::new(name);
    let total = Duration::from_millis(results.iter().map(|r| r.time_ms).sum());
    suite.set_time(total);
    for ran in results {
        let mut case = TestCase::new(ran.scenario.as_str(), status(ran));
        case.set_classname(name).set_time(Duration::from_millis(ran.time_ms));
        suite.add_test_case(case);
    }
    let mut report = Report::new("tdx-module-update");
    report.set_time(total).add_test_suite(suite);
    report.to_string().expect("a report of plain strings serialises")
}

fn status(ran: &Ran) -> TestCaseStatus {
    let mut status = match ran.verdict {
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Skipped | Outcome::Unjudged | Outcome::Xfail => TestCaseStatus::skipped(),
        Outcome::Failed | Outcome::Xpass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Hung | Outcome::GuestCrashed | Outcome::RigError => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_type(ran.verdict.name()).set_message(ran.reason.as_deref().unwrap_or("no reason is known"));
    if let Some(remedy) = &ran.remedy {
        status.set_description(remedy.as_str());
    }
    status
}

/// One test for each scenario.
pub fn ktap(results: &[Ran]) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", results.len());
    for (n, ran) in (1..).zip(results) {
        for line in ran.reason.iter().flat_map(|reason| reason.lines()) {
            let _ = writeln!(text, "# {line}");
        }
        let defect = ran.known_defect.as_deref().unwrap_or_default();
        let (word, directive) = match ran.verdict {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Xfail => ("ok", format!(" # XFAIL {defect}")),
            Outcome::Xpass => ("not ok", format!(" # XPASS {defect}")),
            Outcome::Skipped | Outcome::Unjudged => ("ok", " # SKIP".into()),
            Outcome::Failed => ("not ok", String::new()),
            Outcome::Hung => ("not ok", " # TIMEOUT".into()),
            Outcome::GuestCrashed | Outcome::RigError => ("not ok", " # ERROR".into()),
        };
        let _ = writeln!(text, "{word} {n} {}{directive}", ran.scenario);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    fn results() -> [Ran; 4] {
        [
            example("plain", Outcome::Passed),
            example("repeat", Outcome::Failed),
            example("many", Outcome::RigError),
            example("storm", Outcome::Hung),
        ]
    }

    #[test]
    fn ktap_distinguishes_failure_from_trouble() {
        let expected = "KTAP version 1\n1..4\nok 1 plain\n# lockstep: <CPU 1> ran ahead\nnot ok 2 repeat\n\
            # lockstep: <CPU 1> ran ahead\nnot ok 3 many # ERROR\n# lockstep: <CPU 1> ran ahead\nnot ok 4 storm # TIMEOUT\n";
        assert_eq!(ktap(&results()), expected);
    }

    #[test]
    fn a_known_defect_is_neither_a_pass_nor_news_until_it_is_gone() {
        let results = [example("cpu-offline", Outcome::Xfail), example("repeat", Outcome::Xpass)];
        let text = ktap(&results);
        assert!(text.contains("\nok 1 cpu-offline # XFAIL finding 2\n"), "{text}");
        assert!(text.contains("\nnot ok 2 repeat # XPASS finding 2\n"), "{text}");
        let text = junit("quick", &results);
        let has = |kind: &str, word: &str| text.lines().any(|line| line.contains(kind) && line.contains(word));
        assert!(has("<skipped", r#"type="xfail""#) && has("<failure", r#"type="xpass""#), "{text}");
    }

    #[test]
    fn junit_tells_failure_from_trouble() {
        let text = junit("quick", &results());
        assert!(text.contains(r#"tests="4""#), "{text}");
        assert_eq!((text.matches("<failure").count(), text.matches("<error").count()), (1, 2), "{text}");
        assert!(text.contains("&lt;CPU 1"), "{text}");
    }
}
