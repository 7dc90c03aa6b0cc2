//! A cheap check that an entry is as it was when its contents were last compared with their hashes: `stamp.json` beside its
//! manifest.

use crate::members::{Member, STAMP};
use crate::{ImagesError, hash, manifest};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Says which files an entry had and what the file system said of each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The host's boot in which that was. The rig cannot know whether the host was shut down in good order, so each
    /// boot counts as the end of a crash.
    boot: String,
    /// Of each file: its name, size, mode and inode, when it was written and when anything of it was changed.
    digest: String,
}

impl Stamp {
    /// Of the entry that has these members, now.
    pub(crate) fn of(members: &[Member]) -> Self {
        Self::in_boot(members, std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim())
    }

    fn in_boot(members: &[Member], boot: &str) -> Self {
        let text = members.iter().fold(String::new(), |mut text, Member { name, data, .. }| {
            let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
            writeln!(text, "{name:?} {} {:o} {} {times:?}", data.len(), data.mode(), data.ino())
                .expect("writing to a string succeeds");
            text
        });
        Self { boot: boot.into(), digest: hash::of(text.as_bytes()) }
    }

    /// Whether the entry is as it was when this stamp was set, and the host has not been booted since.
    pub(crate) fn is_set(&self, folder: &Path) -> bool {
        let text = std::fs::read(folder.join(STAMP)).unwrap_or_default();
        serde_json::from_slice::<Self>(&text).is_ok_and(|stamp| stamp == *self)
    }

    /// Writes it into the entry.
    pub(crate) fn set(&self, folder: &Path) -> Result<(), ImagesError> {
        manifest::replace(&folder.join(STAMP), &serde_json::to_vec(self).expect("a stamp is plain data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::members;
    use std::fs::{self, File};
    use std::time::SystemTime;

    fn entry() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/file"), "content").unwrap();
        folder
    }

    fn stamp(folder: &Path, boot: &str) -> Stamp {
        Stamp::in_boot(&members(folder).unwrap(), boot)
    }

    #[test]
    fn a_stamp_lasts_until_the_next_boot() {
        let folder = entry();
        stamp(folder.path(), "a").set(folder.path()).unwrap();
        assert!(stamp(folder.path(), "a").is_set(folder.path()));
        assert!(!stamp(folder.path(), "b").is_set(folder.path()));
    }

    #[test]
    fn a_stamp_does_not_outlive_a_change() {
        type Change<'a> = (&'a str, &'a dyn Fn(&Path));
        let file = |folder: &Path| folder.join("sub/file");
        let changes: [Change<'_>; 5] = [
            ("shorter", &|folder| File::options().write(true).open(file(folder)).unwrap().set_len(3).unwrap()),
            ("gone", &|folder| fs::remove_file(file(folder)).unwrap()),
            ("more", &|folder| fs::write(folder.join("sub/other"), "").unwrap()),
            ("another inode", &|folder| {
                fs::write(folder.join("new"), "content").unwrap();
                fs::rename(folder.join("new"), file(folder)).unwrap();
            }),
            // A program can set back the time of a write, but not the time of the change.
            ("same size and time", &|folder| {
                let written: SystemTime = fs::metadata(file(folder)).unwrap().modified().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::write(file(folder), "kontent").unwrap();
                File::options().write(true).open(file(folder)).unwrap().set_modified(written).unwrap();
            }),
        ];
        for (what, change) in changes {
            let folder = entry();
            stamp(folder.path(), "a").set(folder.path()).unwrap();
            change(folder.path());
            assert!(!stamp(folder.path(), "a").is_set(folder.path()), "{what}");
        }
    }
}
