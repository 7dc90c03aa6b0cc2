//! This repository is as ARCHITECTURE.md promises.
//!
//! What fails here is to be mended. Where it cannot be, `allowed.toml` or the block in ARCHITECTURE.md takes an entry with
//! the reason; `cargo run -p tidy entries` prints what is there today in that form.

use std::path::Path;
use std::sync::LazyLock;
use tidy::allowed::{self, Allowed};
use tidy::architecture::{self, Architecture};
use tidy::violation::Violation;
use tidy::workspace::Workspace;
use tidy::{check, load};

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    load::load(&root).unwrap_or_else(|error| panic!("{error}"))
});

static PROMISED: LazyLock<Architecture> = LazyLock::new(|| {
    let text = &WORKSPACE.files[architecture::FILE];
    Architecture::parse(text).unwrap_or_else(|error| panic!("{error}"))
});

static ALLOWED: LazyLock<Allowed> = LazyLock::new(|| {
    Allowed::parse(include_str!("../allowed.toml")).unwrap_or_else(|error| panic!("{}: {error}", allowed::FILE))
});

fn none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} to mend:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn no_module_needs_itself_by_way_of_others() {
    none(&check::cycles(&WORKSPACE, &ALLOWED.cycle));
}

#[test]
fn crates_need_one_another_as_the_architecture_says() {
    none(&check::arrows(&WORKSPACE, &PROMISED));
}

#[test]
fn unsafe_is_where_the_architecture_says_and_gives_its_reason() {
    none(&check::unsafe_files(&WORKSPACE, &PROMISED));
}

#[test]
fn one_folder_knows_the_command_line_of_qemu() {
    none(&check::qemu_arguments(&WORKSPACE, &PROMISED, &ALLOWED.qemu));
}

#[test]
fn files_and_functions_are_short() {
    none(&check::sizes(&WORKSPACE, &ALLOWED));
}

#[test]
fn a_public_name_belongs_to_one_type_of_a_crate() {
    none(&check::homonyms(&WORKSPACE, &ALLOWED.homonym));
}

#[test]
fn links_lead_somewhere() {
    none(&check::links(&WORKSPACE));
}

#[test]
fn each_exception_has_a_reason() {
    none(&check::reasons(&ALLOWED));
}
