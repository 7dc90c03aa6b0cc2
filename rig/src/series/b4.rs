//! The series as b4 reads a check of one patch: it takes each line of output as a warning, one with `ERROR:` in it as a failure, and
//! silence with exit code 0 as success. What a check writes to standard error counts as failure, too.

use super::{Change, PatchRow, PatchStanding, SeriesReport};

/// A line for each thing that b4 is to show.
pub fn b4(report: &SeriesReport) -> Vec<String> {
    let mut lines: Vec<String> = report.rows.iter().flat_map(of_row).collect();
    if report.left > 0 {
        lines.push("WARNING: the check was interrupted".into());
    }
    lines
}

fn of_row(row: &PatchRow) -> Vec<String> {
    let reason = || row.reason.clone().unwrap_or_default().replace('\n', " ");
    match row.standing {
        PatchStanding::Better | PatchStanding::Same => Vec::new(),
        PatchStanding::DoesNotBuild => vec![format!("ERROR: does not build: {}", reason())],
        PatchStanding::DoesNotApply => vec![format!("WARNING: does not apply: {}", reason())],
        PatchStanding::Worse | PatchStanding::NotJudged => {
            let lines = row.differences.iter().filter_map(|difference| {
                let word = match difference.change {
                    Change::Worse => "ERROR",
                    Change::Unjudged => "WARNING: not judged",
                    Change::Better | Change::Same => return None,
                };
                let page = difference.after.report().map(|page| format!(" {}", page.display())).unwrap_or_default();
                Some(format!("{word}: {}{page}", difference.words()))
            });
            lines.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn only_what_is_wrong_has_a_line() {
        let mut report = example();
        let expected = [
            "ERROR: plain: passed -> failed (lockstep) /r/plain/report.html",
            "ERROR: does not build: x.c:1: error: no",
        ];
        assert_eq!(b4(&report), expected);
        report.rows.truncate(1);
        assert_eq!(b4(&report), Vec::<String>::new());
    }
}
