//! Whether an entry is what was made: cheaply by its stamp, else by the hashes of its contents.

use crate::contents::Contents;
use crate::manifest::FORM;
use crate::members::{Member, members};
use crate::stamp::Stamp;
use crate::{ImagesError, Manifest, Progress, hash};
use std::path::Path;

/// How an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Soundness {
    /// As it was made.
    Sound,
    /// Not as it was made: the first thing that is wrong, in words.
    Damaged(String),
}

/// Looks at the entry at `folder`. Reads its contents only when its stamp does not hold, and sets the stamp anew then.
pub(crate) fn check(folder: &Path, manifest: &Manifest, progress: &Progress) -> Result<Soundness, ImagesError> {
    let members = members(folder)?;
    if Stamp::of(&members).is_set(folder) {
        return Ok(Soundness::Sound);
    }
    let step = progress.step(&format!("check {}", manifest.what), members.iter().map(|member| member.data.len()).sum());
    let soundness = compare(folder, manifest, &members, &|bytes| step.advance(bytes))?;
    step.done();
    Ok(soundness)
}

/// As [`check`], whatever the stamp says.
pub(crate) fn check_contents(
    folder: &Path,
    manifest: &Manifest,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Soundness, ImagesError> {
    compare(folder, manifest, &members(folder)?, read)
}

fn compare(
    folder: &Path,
    manifest: &Manifest,
    found: &[Member],
    read: &(dyn Fn(u64) + Sync),
) -> Result<Soundness, ImagesError> {
    let contents = match Contents::of(found, read) {
        Ok(contents) => contents,
        // A disk that cannot read a file any more damages the entry, not the rig.
        Err(error) => return Ok(Soundness::Damaged(error.to_string())),
    };
    let made = Contents::read(folder);
    let wrong = match &made {
        Some(made) => made.missing_in(&contents),
        None if manifest.form >= FORM => Some("the list of its contents is missing or malformed".into()),
        None => by_manifest(manifest),
    };
    if let Some(wrong) = wrong {
        return Ok(Soundness::Damaged(wrong));
    }
    if made.is_none() {
        contents.write(folder)?;
    }
    let stamp = Stamp::of(found);
    // An entry that was changed while it was read is checked again by its next user.
    if stamp == Stamp::of(&members(folder)?) {
        // An entry without a stamp is only looked at more closely.
        let _ = stamp.set(folder);
    }
    Ok(Soundness::Sound)
}

/// What is wrong with an entry that was made without a list of its contents: its manifest has the hashes of its most
/// important files.
fn by_manifest(manifest: &Manifest) -> Option<String> {
    let files = manifest.artifacts.iter().filter_map(|artifact| Some((artifact.path.as_ref()?, &artifact.sha256)));
    files.into_iter().find_map(|(path, sha256)| match hash::of_file(path) {
        Err(error) => Some(error.to_string()),
        Ok(found) => (found != *sha256).then(|| format!("{} is not what it was", path.display())),
    })
}
