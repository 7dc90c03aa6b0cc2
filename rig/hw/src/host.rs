//! The host's files: what the kernel shows through sysfs and procfs, below a folder that tests can choose.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a host does when it is changed. Pictures of hosts in tests answer as a kernel would, and fail where a test says so.
pub(crate) trait Kernel: fmt::Debug + Send + Sync {
    /// Writes to a file that exists, in one `write(2)`, as kernel attributes want it.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)
    }

    /// Writes behind the end of a file that exists: kernel files to which lists are added.
    fn append(&self, path: &Path, text: &str) -> io::Result<()> {
        OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())
    }

    /// Makes a folder, in which the kernel may put files.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Removes a folder, in which only the kernel's files are.
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
}

/// The kernel of this machine.
#[derive(Debug)]
struct ThisKernel;

impl Kernel for ThisKernel {}

/// A host, by its root folder.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    kernel: Arc<dyn Kernel>,
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        Self::at("/")
    }

    /// A host whose files lie below this folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), kernel: Arc::new(ThisKernel) }
    }

    /// The same host with another kernel.
    #[cfg(test)]
    pub(crate) fn with(self, kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, ..self }
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
        self.kernel.write(&self.path(path), text.as_bytes())
    }

    /// Writes behind the end of a file that exists: kernel files to which lists are added.
    pub fn append(&self, path: &str, text: &str) -> io::Result<()> {
        self.kernel.append(&self.path(path), text)
    }

    /// Makes a folder, in which the kernel may put files.
    pub fn make_folder(&self, path: &str) -> io::Result<()> {
        self.kernel.make_folder(&self.path(path))
    }

    /// Removes a folder, in which only the kernel's files are.
    pub fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.kernel.remove_folder(&self.path(path))
    }

    /// Names in a folder, in order; none if it cannot be read.
    pub fn list(&self, path: &str) -> Vec<OsString> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }

    /// The host for the agent's loads and its upload.
    pub(crate) fn machine(&self) -> rig_agent::Machine {
        let kernel = Arc::clone(&self.kernel);
        rig_agent::Machine::new(&self.root, move |path, bytes| kernel.write(path, bytes))
    }
}
