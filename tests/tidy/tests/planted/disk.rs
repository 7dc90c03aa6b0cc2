//! A workspace on disk, read as cargo and git see it.

use std::fs;
use std::path::Path;
use tidy::check::{arrows, cycles, links, unsafe_files};
use tidy::load::load;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn all_of_it_is_found_and_what_git_ignores_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let of_a = "[package]\nname = \"a\"\nedition = \"2024\"\n[dependencies]\nb = { path = \"../b\" }\n";
    write(
        folder.path(),
        &[
            ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"a\", \"b\"]\n"),
            ("a/Cargo.toml", of_a),
            ("a/src/lib.rs", "mod x;\nmod y;\n"),
            ("a/src/x.rs", "pub struct X(crate::y::Y);\n"),
            ("a/src/y.rs", "pub struct Y(Box<crate::x::X>);\n"),
            ("b/Cargo.toml", "[package]\nname = \"b\"\nedition = \"2024\"\n"),
            ("b/src/main.rs", "fn main() {\n    unsafe { std::hint::unreachable_unchecked() }\n}\n"),
            ("README.md", "[map](MAP.md) and [b](b)\n"),
            ("out/generated.rs", "this is no Rust"),
            (".gitignore", "out\n"),
            // Without it, what .gitignore says would not count.
            (".git/HEAD", ""),
        ],
    );
    let workspace = load(folder.path()).unwrap();
    let architecture =
        "```toml tidy\n[arrows]\n[arrows-of-tests]\n[unsafe]\nfiles = []\n[qemu]\narguments = \"q\"\n```";
    let promised = tidy::architecture::Architecture::parse(architecture).unwrap();
    crate::common::one(&arrows(&workspace, &promised), &["a: needs b"]);
    crate::common::one(&cycles(&workspace, &[]), &["a: 2 modules", "a/src/x.rs:1"]);
    crate::common::one(&links(&workspace), &["README.md:1", "MAP.md"]);
    let unsafes = unsafe_files(&workspace, &promised);
    assert_eq!(unsafes.len(), 2, "{unsafes:#?}");
    assert!(unsafes.iter().all(|one| one.place == "b/src/main.rs:2"), "{unsafes:#?}");
}
