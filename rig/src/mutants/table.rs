//! The report as Markdown.

use super::explained::spaced;
use super::{Judgement, Report, Row, Standing};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Longer texts of a cell are cut.
const WIDTH: usize = 72;

/// Numbers by function, then each mutant, then what is not accounted for.
pub fn markdown(report: &Report) -> String {
    let mut text = numbers(report);
    text.push_str("\n| mutant | before | after | result | by |\n| --- | --- | --- | --- | --- |\n");
    for row in &report.rows {
        let (result, by) = (result(row), by(row));
        let cells = [&row.record.before, &row.record.after].map(|cell| code(cell));
        let _ = writeln!(text, "| {} | {} | {} | {result} | {by} |", row.record.mutant, cells[0], cells[1]);
    }
    for stale in &report.stale {
        let _ = write!(text, "\nNot true any more: {stale}\n");
    }
    if report.left > 0 {
        let _ = write!(text, "\n{} mutants were not reached; the same command goes on.\n", report.left);
    }
    text
}

fn numbers(report: &Report) -> String {
    let mut functions: Vec<&str> = report.rows.iter().map(|row| row.record.function.as_str()).collect();
    functions.dedup();
    let mut counts: BTreeMap<(&str, Standing), usize> = BTreeMap::new();
    for row in &report.rows {
        *counts.entry((&row.record.function, row.standing)).or_default() += 1;
    }
    let mut text = String::from(
        "| function | mutants | caught | does not compile | no error | error that no scenario shows | UNEXPLAINED | not judged |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let all = [
        Standing::Caught,
        Standing::Uncompiled,
        Standing::Equivalent,
        Standing::Unseen,
        Standing::Unexplained,
        Standing::Unjudged,
    ];
    for function in functions {
        let cells = all.map(|standing| counts.get(&(function, standing)).copied().unwrap_or(0));
        let _ = writeln!(
            text,
            "| {function} | {} | {} |",
            cells.iter().sum::<usize>(),
            cells.map(|n| n.to_string()).join(" | ")
        );
    }
    let cells = all.map(|standing| report.count(standing).to_string()).join(" | ");
    let _ = writeln!(text, "| all | {} | {cells} |", report.rows.len());
    text
}

const fn result(row: &Row) -> &'static str {
    match (&row.record.judgement, row.standing) {
        (Judgement::Caught { outcome, .. }, _) => outcome.name(),
        (Judgement::Refused { .. }, _) => "refused",
        (_, Standing::Caught) => "caught",
        (_, Standing::Uncompiled) => "does not compile",
        (_, Standing::Equivalent) => "no error",
        (_, Standing::Unseen) => "not shown",
        (_, Standing::Unexplained) => "PASSED",
        (_, Standing::Unjudged) => "not judged",
    }
}

fn by(row: &Row) -> String {
    let text = match &row.record.judgement {
        Judgement::SameCode { of: Some(mutant) } => format!("the same code as {mutant}"),
        Judgement::Caught { scenario, by, .. } if !by.is_empty() => format!("{scenario}: {}", by.join(", ")),
        Judgement::Caught { scenario, reason, .. } => {
            format!("{scenario}: {}", cut(reason.as_deref().unwrap_or_default()))
        }
        Judgement::Uncompiled { error } => cut(error.split_once("error: ").map_or(error, |(_, error)| error)),
        Judgement::Unjudged { scenario, reason } | Judgement::Refused { scenario, reason } => {
            format!("{scenario}: {}", cut(reason))
        }
        Judgement::Passed { scenarios } => row.why.clone().unwrap_or_else(|| scenarios.join(", ")),
        Judgement::SameCode { of: None } => row.why.clone().unwrap_or_default(),
    };
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    format!("`{}`", cut(&spaced(text)).replace('|', "\\|"))
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(WIDTH).collect();
    if short.len() < text.len() { format!("{short} ...") } else { short }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{caught, passed, record};
    use super::*;

    #[test]
    fn a_pass_without_an_argument_stands_out() {
        let report =
            Report::new(vec![record("f:1:one-more", caught()), record("f:2:one-more", passed())], &[], 0, |_| true);
        let table = markdown(&report);
        assert!(table.contains("| f | 2 | 1 | 0 | 0 | 0 | 1 | 0 |\n| all | 2 | 1 | 0 | 0 | 0 | 1 | 0 |"), "{table}");
        assert!(table.contains("| f:1:one-more | `a \\| b` | `b` | failed | plain: lockstep |"), "{table}");
        assert!(table.contains("| f:2:one-more | `a \\| b` | `b` | PASSED | plain, five-updates |"), "{table}");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(80)).chars().count(), 76);
    }
}
