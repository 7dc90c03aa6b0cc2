//! `junit.xml`, for continuous integration.

use crate::Invariant;
use crate::finding::Standing;
use crate::verdict::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The verdict as a JUnit report: one suite for the run, one case for the run as a whole and one for each invariant.
pub fn junit(verdict: &Verdict) -> String {
    let facts = &verdict.facts;
    let mut suite = TestSuite::new(if facts.scenario.is_empty() { "run" } else { &facts.scenario });
    let total = Duration::from_millis(facts.timing_ms.total);
    suite.set_time(total);
    for (name, value) in properties(verdict) {
        suite.add_property(Property::new(name, value));
    }
    let mut run = TestCase::new("run", run_status(verdict));
    run.set_classname(facts.scenario.as_str()).set_time(total);
    suite.add_test_case(run);
    for invariant in Invariant::ALL {
        let mut case = TestCase::new(invariant.name(), invariant_status(verdict, invariant));
        case.set_classname(facts.scenario.as_str());
        suite.add_test_case(case);
    }
    let mut report = Report::new("tdx-module-update");
    report.set_time(total).add_test_suite(suite);
    report.to_string().expect("a report of plain strings serialises")
}

fn properties(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let facts = &verdict.facts;
    let headline = verdict.headline();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
    let mut properties = vec![
        ("verdict", verdict.verdict.name().into()),
        ("headline", format!("{} {}", headline.word, headline.what)),
        ("cpus", facts.cpus.to_string()),
        ("updates", facts.updates.to_string()),
        ("kernel", known(&facts.kernel)),
        ("module_before", known(&facts.module_before)),
        (
            "module_after",
            facts.module_unread.as_ref().map_or_else(|| known(&facts.module_after), |_| "not read back".into()),
        ),
        ("rig", facts.rig.summary()),
        ("backend", facts.backend.name.clone()),
        ("subject", facts.subject.clone()),
    ];
    let image = facts.kernel_image.as_ref();
    properties.extend(image.map(|image| ("kernel_image", image.summary())));
    properties.extend(image.and_then(|image| Some(("kernel_build", image.build.clone()?))));
    properties.extend(facts.attempts.iter().map(|attempt| ("attempt", attempt.summary())));
    properties
}

fn run_status(verdict: &Verdict) -> TestCaseStatus {
    let mut status = match verdict.verdict {
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Skipped | Outcome::Unjudged | Outcome::Xfail => TestCaseStatus::skipped(),
        Outcome::Failed | Outcome::Xpass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Hung | Outcome::GuestCrashed | Outcome::RigError => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_type(verdict.verdict.name());
    status.set_message(verdict.reason.as_deref().unwrap_or("no reason is known"));
    if let Some(remedy) = &verdict.remedy {
        status.set_description(remedy.as_str());
    }
    status
}

fn invariant_status(verdict: &Verdict, invariant: Invariant) -> TestCaseStatus {
    match verdict.standing(invariant) {
        Standing::Held => TestCaseStatus::success(),
        Standing::Broken if verdict.is_expected_breach(invariant) => TestCaseStatus::success(),
        Standing::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(verdict.why_not_observed(invariant).unwrap_or("not observed"));
            status
        }
        Standing::Broken => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(breach) = verdict.breach(invariant) {
                status.set_type(invariant.name()).set_message(breach.summary()).set_description(breach.to_string());
            }
            status
        }
    }
}
