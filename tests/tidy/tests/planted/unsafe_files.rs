//! Where `unsafe` is.

use crate::common::{architecture, library, none, one};
use tidy::check::unsafe_files;
use tidy::violation::Violation;

const REASONED: &str = "fn f(p: *const u8) -> u8 {\n    // SAFETY: given by the caller.\n    unsafe { *p }\n}\n";

fn check(files: &[(&str, &str)]) -> Vec<Violation> {
    unsafe_files(&library(files), &architecture())
}

#[test]
fn a_listed_file_with_reasons_is_no_fault() {
    none(&check(&[("src/raw.rs", REASONED), ("src/lib.rs", "/// It is unsafe.\nconst S: &str = \"unsafe\";")]));
    let between =
        "fn f() {\n    // SAFETY: as above,\n    // in two lines.\n    #[allow(x)]\n    let y = unsafe { g() };\n}";
    none(&check(&[("src/raw.rs", between)]));
}

#[test]
fn unsafe_in_another_file_is_found_in_macros_and_tests_too() {
    for text in [REASONED, "#[unsafe(no_mangle)]\nfn f() {}", "m!(unsafe fn f() {});", "#[cfg(test)] unsafe fn f() {}"]
    {
        one(&check(&[("src/raw.rs", REASONED), ("src/lib.rs", text)]), &["src/lib.rs:", "a file that [unsafe]"]);
    }
}

#[test]
fn a_block_without_a_reason_is_found() {
    let parts = ["src/raw.rs:3", "without a comment"];
    one(&check(&[("src/raw.rs", &REASONED.replace("SAFETY", "NOTE"))]), &parts);
    one(&check(&[("src/raw.rs", "// SAFETY: far away.\n\nunsafe impl Send for X {}")]), &["src/raw.rs:3"]);
}

#[test]
fn a_listed_file_without_unsafe_is_found() {
    one(&check(&[("src/raw.rs", "fn f() {}")]), &["src/raw.rs: has no unsafe"]);
}
