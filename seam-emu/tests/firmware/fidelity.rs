//! FIDELITY.md says what the code does.

use crate::common::{Machine, call};
use seam_emu::abi::Leaf;
use seam_emu::abi::status::NAMES;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rows of the table under a heading, split into cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(root().join("FIDELITY.md")).expect("the page is here");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading is there");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// All Rust sources under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is here").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    folders.iter().flat_map(|folder| sources(folder)).chain(rust).collect()
}

fn text(folder: &str) -> String {
    let status = Path::new("abi/status.rs");
    let files = sources(&root().join(folder)).into_iter().filter(|path| !path.ends_with(status));
    files.map(|path| std::fs::read_to_string(path).expect("readable")).collect()
}

#[test]
fn every_leaf_has_its_row_and_is_what_the_row_says() {
    let rows = table("Leaves");
    let named: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let all: Vec<&str> = Leaf::ALL.iter().map(|leaf| leaf.name()).collect();
    assert_eq!(named, all);
    let mut ready = Machine::new(1);
    ready.boot_linux();
    for (leaf, row) in Leaf::ALL.iter().zip(&rows) {
        let mut m = ready.clone();
        m.call(0, call(*leaf));
        let absent = row[1].starts_with("absent");
        assert_eq!(m.completion.unmodelled, absent, "{}: {}", leaf.name(), row[1]);
    }
}

#[test]
fn every_status_has_its_row_and_is_given_or_not() {
    let rows = table("Statuses");
    let named: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let all: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, all);
    let code = text("src");
    for row in &rows {
        let mention = format!("Status::{}", row[0]);
        let given = code
            .match_indices(&mention)
            .any(|(at, _)| !code[at + mention.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_'));
        assert_eq!(given, row[1] == "yes", "{}: {}", row[0], row[1]);
        assert!(given || row[1].starts_with("no: "), "{} gives no reason", row[0]);
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = text("tests") + &text("src");
    let mut checked = 0;
    for heading in ["Leaves", "Statuses", "SEAMCALL"] {
        for row in table(heading) {
            let Some(name) = row.last().map(|cell| cell.trim_matches('`')).filter(|name| !name.is_empty()) else {
                assert!(row[1].starts_with("no: "), "{} names no test", row[0]);
                continue;
            };
            assert!(tests.contains(&format!("fn {name}(")), "{}: no test is called {name}", row[0]);
            checked += 1;
        }
    }
    assert!(checked > 100, "the tables were read");
}
