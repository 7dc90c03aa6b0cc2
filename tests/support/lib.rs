//! What the end-to-end tests share: the rig as its users start it, and what it leaves behind.

pub mod bare;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tempfile::TempDir;

/// Invariants that a plain update by the kernel module must show as held, whatever brings its SEAMCALLs to the firmware.
pub const HELD: [&str; 9] = [
    "participation",
    "lockstep",
    "lead-only",
    "update-only",
    "interrupts-off",
    "serial-loader",
    "progress",
    "stable-cpus",
    "quiet-kernel",
];

/// The release binary that `cargo rig` runs, built when it is not.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let build = escargot::CargoBuild::new().package("rig").bin("rig").release().run();
        build.expect("the rig builds").path().to_owned()
    })
}

/// Who runs machines on this host.
static HOST: RwLock<()> = RwLock::new(());

/// For a test whose machines may run beside those of other tests: its budgets count the guest's processor time, and
/// nothing that it asserts rests on when a CPU gets its turn.
pub fn share_host() -> RwLockReadGuard<'static, ()> {
    HOST.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that needs the host for itself, because it waits for a signal, a race or a time.
pub fn take_host() -> RwLockWriteGuard<'static, ()> {
    HOST.write().unwrap_or_else(PoisonError::into_inner)
}

/// One use of the rig, in a folder of its own that disappears afterwards.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Default for Rig {
    fn default() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), environment: Vec::new() }
    }
}

impl Rig {
    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the temporary folder takes a file");
        path
    }

    /// Sets an environment variable of the rig.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.environment.push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// The command, with nothing on its standard input and its folder as the current one.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs the rig to its end.
    pub fn go<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Finished {
        let output = self.command(arguments).output().expect("the rig starts");
        Finished::from(output)
    }
}

/// The output and exit code of a rig that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code, -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// The one JSON object on standard output, after checking the exit code.
    pub fn json(&self, code: i32) -> Value {
        self.expect(code);
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is no JSON object ({e}): {self}"))
    }

    /// Checks the exit code.
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Checks that standard error has one line that begins with `error:` and has all these words in any case, and one
    /// that begins with `help:`.
    pub fn says(&self, words: &[&str]) -> &Self {
        let line = |start: &str| self.stderr.lines().find(|l| l.trim_start().starts_with(start)).map(str::to_lowercase);
        let error = line("error:").unwrap_or_else(|| panic!("no line of cause: {self}"));
        assert!(line("help:").is_some(), "no line of remedy: {self}");
        for word in words {
            assert!(error.contains(&word.to_lowercase()), "'{word}' is not in '{error}': {self}");
        }
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Process ids whose command line contains `needle`.
pub fn processes(needle: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(needle)
        })
        .collect()
}
