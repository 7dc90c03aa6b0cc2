//! The series as one page that needs no network.

use super::SeriesReport;
use rig_judge::report::self_contained;
use serde::Serialize;

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");

/// What the script gets.
#[derive(Serialize)]
struct Data<'a> {
    report: &'a SeriesReport,
    summary: String,
    exit_code: u8,
    /// In words: what each patch stands for, and each of its differences.
    rows: Vec<RowData>,
}

#[derive(Serialize)]
struct RowData {
    standing: &'static str,
    /// Each with the page that shows the run.
    differences: Vec<(String, Option<String>)>,
}

/// The page.
pub fn html(report: &SeriesReport) -> String {
    let row = |row: &super::PatchRow| RowData {
        standing: row.standing.words(),
        differences: row
            .differences
            .iter()
            .map(|difference| {
                let page = difference.after.report().map(|path| format!("file://{}", path.display()));
                (difference.words(), page)
            })
            .collect(),
    };
    let rows = report.rows.iter().map(row).collect();
    self_contained(PAGE, &Data { report, summary: report.summary(), exit_code: report.exit() as u8, rows }, SCRIPT)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn the_page_has_all_and_no_markup_of_a_patch() {
        let page = html(&example());
        for text in
            ["Drop the lock", "plain: passed -> failed (lockstep)", "does not build", "file:///r/plain/report.html"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<empty>") && page.contains("\\u003cempty>"), "{page}");
    }
}
