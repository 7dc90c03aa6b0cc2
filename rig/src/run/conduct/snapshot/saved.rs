//! A snapshot in the cache.

use super::note::{NOTE, Note, digest};
use crate::machine::snapshot::SavedMachine;
use crate::trouble::Trouble;
use rig_images::Images;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A usable snapshot. The cache keeps it as long as this value exists.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    folder: PathBuf,
    /// What was noted when it was made.
    pub(crate) note: Arc<Note>,
    _images: Arc<Images>,
}

impl Snapshot {
    /// The snapshot in `folder`, which is an entry of the cache of `images`.
    pub(crate) fn new(folder: PathBuf, note: Note, images: Images) -> Self {
        Self { folder, note: Arc::new(note), _images: Arc::new(images) }
    }

    /// The saved machine.
    pub(crate) fn machine(&self) -> SavedMachine {
        SavedMachine::within(&self.folder)
    }

    /// A file beside the states.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts to compare all that is taken over with its hash, which takes as long as QEMU takes to start.
    pub(crate) fn check(&self) -> JoinHandle<Result<(), Trouble>> {
        let (expected, folder) = (self.note.digest.clone(), self.folder.clone());
        std::thread::spawn(move || match digest(&folder) {
            Ok(digest) if digest == expected => Ok(()),
            Ok(_) => {
                // A snapshot without its note is not used any more, and the next run makes another. When the note cannot be
                // removed, the next run fails like this one.
                let _ = std::fs::remove_file(folder.join(NOTE));
                let help = "run it again: another snapshot is made then";
                Err(Trouble::environment(format!("the snapshot {} is damaged", folder.display()), help))
            }
            Err(e) => Err(Trouble::file("read the snapshot", &folder, &e)),
        })
    }
}
