//! Long files and functions.

use crate::common::{library, none, one};
use tidy::allowed::Allowed;
use tidy::check::{FILE_LINES, FUNCTION_LINES, sizes};
use tidy::violation::Violation;

/// A function of so many lines.
fn function(lines: usize) -> String {
    format!("struct S;\nimpl S {{\n/// Says.\nfn f() {{\n{}}}\n}}\n", "    g();\n".repeat(lines - 2))
}

/// So many lines of constants, with a test of ten lines behind them.
fn file(lines: usize) -> String {
    format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "const _: () = ();\n".repeat(lines), "\n".repeat(7))
}

fn check(text: &str, allowed: &str) -> Vec<Violation> {
    sizes(&library(&[("src/lib.rs", text)]), &Allowed::parse(allowed).unwrap())
}

#[test]
fn what_just_fits_is_no_fault() {
    none(&check(&function(FUNCTION_LINES), ""));
    none(&check(&file(FILE_LINES), ""));
}

#[test]
fn a_line_more_is() {
    one(&check(&function(FUNCTION_LINES + 1), ""), &["src/lib.rs:4: S::f has 61 lines"]);
    one(&check(&file(FILE_LINES + 1), ""), &["src/lib.rs: the file has 401 lines"]);
}

#[test]
fn a_file_of_tests_counts_whole() {
    let tree = library(&[("src/lib.rs", ""), ("tests/t.rs", &file(FILE_LINES))]);
    one(&sizes(&tree, &Allowed::default()), &["tests/t.rs: the file has 410 lines"]);
}

#[test]
fn a_listed_one_may_be_as_long_as_listed_and_no_longer() {
    let of_function = "[[function]]\npath = \"src/lib.rs\"\nname = \"S::f\"\nat-most = 70\nreason = \"r\"";
    none(&check(&function(70), of_function));
    one(&check(&function(71), of_function), &["more than 70"]);
    one(&check(&function(FUNCTION_LINES), of_function), &["S::f is gone or has no more than 60 lines"]);
    let of_file = "[[file]]\npath = \"src/lib.rs\"\nat-most = 500\nreason = \"r\"";
    none(&check(&file(500), of_file));
    one(&check(&file(501), of_file), &["more than 500"]);
    one(&check(&file(FILE_LINES), of_file), &["the file is gone or has no more than 400 lines"]);
}
