//! The series as a person at a terminal reads it.

use super::{PatchRow, PatchStanding, SeriesReport};
use std::fmt::Write;

/// Standings are aligned to the longest.
const WIDTH: usize = 14;

/// One patch: how it stands, the first difference and where its report is.
pub fn line(row: &PatchRow, number: usize) -> String {
    let commit = row.commit.as_ref().map(|commit| format!("{} ", &commit[..commit.len().min(12)])).unwrap_or_default();
    let mut text = format!("{:>3}/{number}  {:WIDTH$}  {commit}{}", row.number, row.standing.words(), row.title);
    let mut detail = |words: &str| {
        let _ = write!(text, "\n{:indent$}{words}", "", indent = number.to_string().len() + WIDTH + 8);
    };
    if let Some(first) = row.first() {
        let more = match row.differences.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        detail(&format!("{}{more}", first.words()));
    }
    let speaks = row.standing != PatchStanding::Better;
    if let Some(reason) = row.reason.as_ref().filter(|_| speaks) {
        detail(reason);
    }
    if let Some(report) = row.first().and_then(|first| first.after.report()) {
        detail(&report.display().to_string());
    }
    text
}

/// All patches, and how many of what.
pub fn table(report: &SeriesReport) -> String {
    let mut text = String::new();
    for row in &report.rows {
        let _ = writeln!(text, "{}", line(row, report.rows.len() + report.left));
    }
    text + "\n" + &end(report)
}

/// How many of what, and what is missing.
pub fn end(report: &SeriesReport) -> String {
    let mut text = report.summary();
    for left_out in &report.left_out {
        let _ = write!(text, "\nleft out: {left_out}");
    }
    if report.left > 0 {
        text += "\nthe same command goes on where this one was stopped";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn each_patch_has_its_first_difference_and_its_report() {
        let expected = "  1/4  better          Refuse <empty> lists
                       no-sigstruct: xfail -> xpass
                       /r/no-sigstruct/report.html
  2/4  worse           Drop the lock
                       plain: passed -> failed (lockstep)
                       plain <failed>
                       /r/plain/report.html
  3/4  same            Mend a comment
  4/4  does not build  Build nothing
                       x.c:1: error: no

4 patches against Linux 7.3.4: 1 worse, 1 better, 1 same, 1 does not build";
        let mut report = example();
        report.rows[1].reason = report.rows[1].first().and_then(|first| first.reason()).map(str::to_owned);
        assert_eq!(table(&report), expected);
    }
}
