//! All runs of a suite as one page that needs no network.

use super::record::SuiteRecord;
use super::{Ran, summary};
use crate::trouble::Exit;
use rig_judge::report::self_contained;
use serde::Serialize;
use std::path::Path;

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/index.js");
/// The page of one run, in its folder.
const REPORT: &str = "report.html";

/// What the script gets.
#[derive(Serialize)]
struct Data<'a> {
    suite: &'a SuiteRecord,
    summary: String,
    exit_code: u8,
    /// Of each scenario the page of its run, from the suite's folder on, if there is one.
    pages: Vec<Option<String>>,
}

/// The page, for a file in `folder`.
pub fn index(suite: &SuiteRecord, exit: Exit, folder: &Path) -> String {
    let page = |ran: &Ran| {
        let report = ran.run_dir.as_ref()?.join(REPORT);
        let there = report.is_file().then(|| report.strip_prefix(folder).unwrap_or(&report));
        there.map(|path| path.display().to_string())
    };
    let pages = suite.scenarios.iter().map(page).collect();
    self_contained(PAGE, &Data { suite, summary: summary(&suite.scenarios), exit_code: exit as u8, pages }, SCRIPT)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use rig_judge::Outcome;

    #[test]
    fn each_run_that_has_a_page_is_linked_by_a_path_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("plain");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join(REPORT), "").unwrap();
        let plain = Ran { run_dir: Some(run), ..example("plain", Outcome::Passed) };
        let scenarios = vec![plain, example("repeat", Outcome::Failed)];
        let suite = SuiteRecord { scenarios, not_run: vec!["storm".into()], ..SuiteRecord::default() };
        let page = index(&suite, Exit::Failed, folder.path());
        assert!(page.contains(r#""pages":["plain/report.html",null]"#), "{page}");
        assert!(page.contains(r#""not_run":["storm"]"#) && page.contains("1 passed, 1 failed"), "{page}");
        assert!(page.contains("\\u003cCPU 1>"), "no markup of a reason: {page}");
    }
}
