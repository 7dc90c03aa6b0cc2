//! The program of `tests/bare`, which runs on a machine without an operating system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What makes of a program of the host's target one that needs neither an operating system nor a library.
const FLAGS: [&str; 7] = [
    "panic=abort",
    "opt-level=2",
    "relocation-model=static",
    "linker=cc",
    "link-arg=-nostdlib",
    "link-arg=-static",
    "link-arg=-Wl,--build-id=none",
];

/// The program as an ELF file, built once per process.
pub fn program() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bare.elf");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bare");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "--crate-name", "bare", "--crate-type", "bin", "-D", "warnings"]);
        rustc.args(FLAGS.iter().flat_map(|flag| ["-C", *flag]));
        rustc.arg("-C").arg(format!("link-arg=-Wl,-T{}", source.join("link.ld").display()));
        rustc.arg("-o").arg(&path).arg(source.join("main.rs"));
        let output = rustc.output().expect("rustc starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (folder, path)
    });
    path
}
