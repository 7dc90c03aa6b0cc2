//! Which mutants an error of the compiler is due to.

use crate::render::{LeftOut, Mark, Rendered};
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticSpan};
use std::collections::BTreeMap;

/// Leaves out what an error is due to. Whether something was found that was in the program before.
pub fn leave_out(error: &Diagnostic, files: &BTreeMap<String, Rendered>, left_out: &mut LeftOut) -> bool {
    if error.code.as_ref().is_some_and(|code| code.code == "E0015")
        && let Some(name) = called(&error.message)
        && left_out.const_fns.insert(name)
    {
        return true;
    }
    let mut found = false;
    for switch in blamed(error, files) {
        found |= left_out.switches.insert(switch);
    }
    found
}

/// The function in "cannot call non-const method `Step::number` in constants".
fn called(message: &str) -> Option<String> {
    let path = message.strip_prefix("cannot call non-const ")?.split('`').nth(1)?;
    path.rsplit("::").next().map(str::to_owned)
}

fn blamed(error: &Diagnostic, files: &BTreeMap<String, Rendered>) -> Vec<u32> {
    let (primary, others): (Vec<_>, Vec<_>) = error.spans.iter().map(user_span).partition(|span| span.is_primary);
    let own = |spans: &[&DiagnosticSpan]| {
        spans.iter().find_map(|span| smallest(span, files).filter(|mark| mark.is_own)).map(|mark| mark.switches.clone())
    };
    let any = |spans: &[&DiagnosticSpan]| {
        spans.iter().find_map(|span| smallest(span, files)).map(|mark| mark.switches.clone())
    };
    own(&primary).or_else(|| own(&others)).or_else(|| any(&primary)).or_else(|| any(&others)).unwrap_or_default()
}

/// The place in the program's own text, for an error in the expansion of a macro.
fn user_span(span: &DiagnosticSpan) -> &DiagnosticSpan {
    span.expansion.as_ref().map_or(span, |expansion| user_span(&expansion.span))
}

fn smallest<'f>(span: &DiagnosticSpan, files: &'f BTreeMap<String, Rendered>) -> Option<&'f Mark> {
    let marks = files.get(&span.file_name)?.marks.iter();
    let (start, end) = (span.byte_start as usize, span.byte_end as usize);
    marks.filter(|mark| mark.extent.start <= start && end <= mark.extent.end).min_by_key(|mark| mark.extent.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(code: &str, message: &str, spans: &[(bool, u32, u32)]) -> Diagnostic {
        let span = |(is_primary, start, end): &(bool, u32, u32)| {
            json!({
                "file_name": "src/lib.rs", "byte_start": start, "byte_end": end, "line_start": 1, "line_end": 1,
                "column_start": 1, "column_end": 1, "is_primary": is_primary, "text": [], "label": null,
                "suggested_replacement": null, "suggestion_applicability": null, "expansion": null
            })
        };
        let spans: Vec<_> = spans.iter().map(span).collect();
        serde_json::from_value(json!({
            "message": message, "code": { "code": code, "explanation": null }, "level": "error", "spans": spans,
            "children": [], "rendered": null
        }))
        .unwrap()
    }

    fn files() -> BTreeMap<String, Rendered> {
        let mark = |extent, switches: &[u32], is_own| Mark { extent, switches: switches.to_vec(), is_own };
        let marks = vec![mark(0..100, &[1, 2, 3], false), mark(10..50, &[1, 2], false), mark(20..30, &[1], true)];
        [("src/lib.rs".to_owned(), Rendered { text: String::new(), marks })].into()
    }

    fn left_out(error: &Diagnostic) -> Vec<u32> {
        let mut left_out = LeftOut::default();
        assert_eq!(leave_out(error, &files(), &mut left_out), !left_out.switches.is_empty());
        left_out.switches.into_iter().collect()
    }

    #[test]
    fn an_error_is_due_to_the_mutant_whose_text_it_is_in_or_else_to_those_around_it() {
        assert_eq!(left_out(&error("E0308", "m", &[(true, 22, 25)])), [1]);
        assert_eq!(left_out(&error("E0308", "m", &[(true, 12, 15), (false, 22, 25)])), [1]);
        assert_eq!(left_out(&error("E0308", "m", &[(true, 12, 35)])), [1, 2]);
        assert_eq!(left_out(&error("E0308", "m", &[(true, 60, 61)])), [1, 2, 3]);
        assert_eq!(left_out(&error("E0308", "m", &[(true, 160, 161)])), [0_u32; 0]);
    }

    #[test]
    fn a_function_that_the_compiler_calls_stays_const() {
        let mut left_out = LeftOut::default();
        let error = error("E0015", "cannot call non-const associated function `Step::number` in constants", &[]);
        assert!(leave_out(&error, &files(), &mut left_out));
        assert_eq!(left_out.const_fns, ["number".to_owned()].into());
        assert!(!leave_out(&error, &files(), &mut left_out));
    }
}
