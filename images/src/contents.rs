//! What an entry of the cache consists of, by content: `contents.json` beside its manifest.

use crate::members::{CONTENTS, Member};
use crate::{ImagesError, hash, manifest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;

/// Every file and link of an entry by its path in the entry, with a hash of its content or of what the link says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents(BTreeMap<String, String>);

impl Contents {
    /// Of `members`, by reading all of them; `read` is called with the bytes that one more of them has.
    pub(crate) fn of(members: &[Member], read: &(dyn Fn(u64) + Sync)) -> Result<Self, ImagesError> {
        let (queue, found) = (Mutex::new(members.iter()), Mutex::new(BTreeMap::new()));
        let worker = || -> Result<(), ImagesError> {
            loop {
                let Some(member) = queue.lock().expect("no worker panics").next() else { return Ok(()) };
                let hash = hash_of(member)?;
                found.lock().expect("no worker panics").insert(member.name.clone(), hash);
                read(member.data.len());
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no worker panics"))
        })?;
        Ok(Self(found.into_inner().expect("no worker panics")))
    }

    /// Writes them into their entry.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), ImagesError> {
        manifest::replace(&folder.join(CONTENTS), &serde_json::to_vec(self).expect("names are plain data"))
    }

    /// As they were written; none: there are none, or they are damaged.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(CONTENTS)).ok()?).ok()
    }

    /// The first thing that should be there and is not as it should be. What is there beside it does no harm: programs that run in an
    /// entry may leave files of their own.
    pub(crate) fn missing_in(&self, found: &Self) -> Option<String> {
        let differs = |(name, hash): (&String, &String)| match found.0.get(name) {
            None => Some(format!("{name} is missing")),
            Some(other) => (other != hash).then(|| format!("{name} is not what it was")),
        };
        self.0.iter().find_map(differs)
    }
}

/// In place of the hash of a file that its owner may not read either.
const UNREADABLE: &str = "unreadable";

fn hash_of(member: &Member) -> Result<String, ImagesError> {
    let Member { path, data, .. } = member;
    if data.is_symlink() {
        let target = std::fs::read_link(path).map_err(ImagesError::io(path))?;
        return Ok(format!("link:{}", hash::of(target.as_os_str().as_encoded_bytes())));
    }
    if !data.is_file() {
        return Ok("special".into());
    }
    match hash::of_blocks(path) {
        Err(ImagesError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(UNREADABLE.into()),
        other => other,
    }
}
