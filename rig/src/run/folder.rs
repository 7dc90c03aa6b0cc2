//! The run folder: everything that is known of one run, kept whatever comes of it.

use crate::trouble::Trouble;
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The events that were recorded.
pub(crate) const EVENTS: &str = "events.bin";
/// Lines of the kernel's log, in their order.
pub(crate) const KERNEL_LOG: &str = "kmsg.log";
/// What the guest said on its serial console.
pub(crate) const CONSOLE: &str = "console.log";
/// The plan for the emulator.
pub(crate) const PLAN: &str = "plan.json";

/// A run's folder.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes `out`, or `runs/TIME-NAME` under the current folder. A folder that holds anything is never used again.
    pub(crate) fn create(out: Option<&Path>, name: &str) -> Result<Self, Trouble> {
        let path = match out {
            Some(out) => out.to_owned(),
            None => Path::new("runs").join(format!("{}-{name}", compact_time(SystemTime::now()))),
        };
        std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make the run folder", &path, &e))?;
        let mut entries = std::fs::read_dir(&path).map_err(|e| Trouble::file("read", &path, &e))?;
        if entries.next().is_some() {
            let help = "name a folder that does not exist yet with --out, or remove this one";
            return Err(Trouble::usage(format!("the run folder {} is not empty", path.display()), help));
        }
        let path = path.canonicalize().map_err(|e| Trouble::file("use the run folder", &path, &e))?;
        Ok(Self { path })
    }

    /// A folder that is there already and empty.
    pub(crate) fn existing(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// All that the kernel said, by whichever way it came.
    pub(crate) fn kernel_log(&self) -> String {
        let read = |name: &str| std::fs::read(self.file(name)).unwrap_or_default();
        [KERNEL_LOG, CONSOLE].map(|name| String::from_utf8_lossy(&read(name)).into_owned()).concat()
    }

    /// Writes a file of text.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), Trouble> {
        let path = self.file(name);
        std::fs::write(&path, content).map_err(|e| Trouble::file("write", &path, &e))
    }

    /// Writes a file of JSON for people and programs.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Trouble> {
        let mut text = serde_json::to_string_pretty(value).expect("run data is plain data");
        text.push('\n');
        self.write(name, text)
    }

    /// Makes a file to write to.
    pub(crate) fn create_file(&self, name: &str) -> Result<File, Trouble> {
        let path = self.file(name);
        File::create(&path).map_err(|e| Trouble::file("make", &path, &e))
    }
}

/// `20261122T131530.123` for a time in UTC.
fn compact_time(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    text.trim_end_matches('Z').replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Exit;
    use std::time::Duration;

    #[test]
    fn times_sort_as_text() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_353_330_123);
        assert_eq!(compact_time(time), "20261122T131530.123");
    }

    #[test]
    fn can_use_a_new_folder_or_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunFolder::create(Some(dir.path()), "x").is_ok());
        let folder = RunFolder::create(Some(&dir.path().join("a/b")), "x").unwrap();
        assert!(folder.path().is_absolute());
    }

    #[test]
    fn cannot_use_a_folder_with_a_run_in_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("verdict.json"), "{}").unwrap();
        let trouble = RunFolder::create(Some(dir.path()), "x").unwrap_err();
        assert_eq!(trouble.exit, Exit::Usage);
        assert!(dir.path().join("verdict.json").exists());
    }
}
