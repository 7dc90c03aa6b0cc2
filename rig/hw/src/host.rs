//! The host's files: what the kernel tells through sysfs and procfs, below a folder that tests can choose.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A host, by its root folder.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        Self::at("/")
    }

    /// A host whose files lie below this folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is the machine itself and not a picture of one.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute path of the host really lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file's text without spaces at its ends; bytes that are no text are replaced.
    pub fn read(&self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.path(path))?).trim().to_owned())
    }

    /// A file's text, if it can be read.
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    /// Writes to a file that exists, in one `write(2)`, as kernel attributes want it.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        self.write_with(OpenOptions::new().write(true).truncate(true), path, text)
    }

    /// Writes behind the end of a file that exists: kernel files to which lists are added.
    pub fn append(&self, path: &str, text: &str) -> io::Result<()> {
        self.write_with(OpenOptions::new().append(true), path, text)
    }

    fn write_with(&self, options: &OpenOptions, path: &str, text: &str) -> io::Result<()> {
        options.open(self.path(path))?.write_all(text.as_bytes())
    }

    /// Names in a folder, in order; none if it cannot be read.
    pub fn list(&self, path: &str) -> Vec<OsString> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }
}
