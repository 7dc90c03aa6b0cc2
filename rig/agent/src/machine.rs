//! The machine whose settings loads and updates change: this one, or a picture of one in tests.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the bytes of one setting are written.
type Writer = dyn Fn(&Path, &[u8]) -> io::Result<()> + Send + Sync;

/// A machine, by the folder in which its `/sys` lies, and by the way in which its files are written.
#[derive(Clone)]
pub struct Machine {
    root: PathBuf,
    writer: Arc<Writer>,
}

impl Machine {
    /// A machine whose files lie below `root`; `writer` is given the path below that folder and what is to be written.
    pub fn new(
        root: impl Into<PathBuf>,
        writer: impl Fn(&Path, &[u8]) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { root: root.into(), writer: Arc::new(writer) }
    }

    /// Where an absolute path of the machine really lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Writes to a file that exists.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        (self.writer)(path, bytes)
    }
}

impl Default for Machine {
    /// This machine.
    fn default() -> Self {
        Self::new("/", |path, bytes| OpenOptions::new().write(true).open(path)?.write_all(bytes))
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("root", &self.root).finish_non_exhaustive()
    }
}
