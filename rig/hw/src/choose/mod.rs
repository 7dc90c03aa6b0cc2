//! Which image may follow the running module: the published rules, one refusal each.
//!
//! Source: `version_select_and_load.py`, `mapping_file.json` and the table of the README in
//! intel/confidential-computing.tdx.tdx-module.binaries. In short: no debug module; the processor is in the image's table; the
//! same major and minor version; not older than the running module; the running module is not older than the release's
//! minimum; P-SEAMLDR is of a series that the release names, and not older than named.

mod images;

pub use images::{by_file, by_mapping};

use crate::blob::{BadBlob, Blob};
use crate::mapping::Release;
use crate::version::Version;
use std::path::PathBuf;

/// What an image must fit to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The running TDX module.
    pub module: Version,
    /// P-SEAMLDR.
    pub seamldr: Version,
    /// CPUID.1:EAX; none: the processor is unknown.
    pub cpuid_1_eax: Option<u32>,
}

/// An image that could be uploaded.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its file.
    pub path: PathBuf,
    /// Its version: from the file's name, or as the caller says; none: unknown.
    pub version: Option<Version>,
    /// What is published of the version; none: no mapping file was given.
    pub release: Option<Release>,
    /// A mapping file was given, and does not know the version.
    pub unpublished: bool,
    /// What the file says of itself.
    pub blob: Result<Blob, BadBlob>,
    /// The bytes that said so, and that are uploaded.
    pub bytes: Vec<u8>,
}

/// Why an image must not be uploaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefusal {
    /// The file is damaged.
    #[error("the file is no sound image: {0}")]
    Damaged(BadBlob),
    /// Signed for debugging.
    #[error("it is a debug module")]
    Debug,
    /// The processor is not in its table.
    #[error("it is not for this processor (CPUID.1:EAX {0:#x} is not in its table)")]
    Processor(u32),
    /// The processor is unknown.
    #[error("/proc/cpuinfo does not say which processor this is")]
    UnknownProcessor,
    /// Neither the file's name nor the caller says which version it is.
    #[error("its version is unknown: the file is not called tdx_module_X.Y.ZZ.blob")]
    UnknownVersion,
    /// The file's name, or the caller, says another version than what was signed.
    #[error("it is called {called}, but what was signed is {signed}")]
    Misnamed {
        /// By its name or the caller.
        called: Version,
        /// By its `SEAM_SIGSTRUCT`.
        signed: Version,
    },
    /// The mapping file does not have it.
    #[error("the mapping file does not know version {0}")]
    Unpublished(Version),
    /// Another series.
    #[error("{to} is of another series than the running {from}: major and minor version must be the same")]
    Series {
        /// The running module.
        from: Version,
        /// The image.
        to: Version,
    },
    /// A downgrade.
    #[error("{to} is older than the running {from}")]
    Older {
        /// The running module.
        from: Version,
        /// The image.
        to: Version,
    },
    /// The running module is too old to be taken over.
    #[error("it takes over from {min} or later, {from} runs")]
    TooOldModule {
        /// The running module.
        from: Version,
        /// The oldest that it takes over.
        min: Version,
    },
    /// P-SEAMLDR is of another series, or too old.
    #[error("it needs P-SEAMLDR {}, this is {has}", list(needs))]
    Seamldr {
        /// What there is.
        has: Version,
        /// What it needs: one of them or a later one of the same series.
        needs: Vec<Version>,
    },
}

fn list(versions: &[Version]) -> String {
    versions.iter().map(|v| format!("{v} or later of its series")).collect::<Vec<_>>().join(", or ")
}

/// Every reason against an image; none: it may be uploaded.
pub fn refusals(candidate: &Candidate, platform: &Platform) -> Vec<ImageRefusal> {
    let mut all = of_blob(candidate, platform);
    match candidate.version {
        None => all.push(ImageRefusal::UnknownVersion),
        Some(version) => all.extend(of_version(version, candidate, platform)),
    }
    all
}

fn of_blob(candidate: &Candidate, platform: &Platform) -> Vec<ImageRefusal> {
    let blob = match &candidate.blob {
        Ok(blob) => blob,
        Err(bad) => return vec![ImageRefusal::Damaged(bad.clone())],
    };
    let processor = match platform.cpuid_1_eax {
        None => Some(ImageRefusal::UnknownProcessor),
        Some(eax) => (!blob.runs_on(eax)).then_some(ImageRefusal::Processor(eax)),
    };
    blob.debug.then_some(ImageRefusal::Debug).into_iter().chain(processor).collect()
}

fn of_version(to: Version, candidate: &Candidate, platform: &Platform) -> Vec<ImageRefusal> {
    let (from, has) = (platform.module, platform.seamldr);
    let mut all = Vec::new();
    let signed = candidate.blob.as_ref().ok().and_then(|blob| blob.version);
    all.extend(signed.filter(|signed| *signed != to).map(|signed| ImageRefusal::Misnamed { called: to, signed }));
    if !to.is_series_of(from) {
        all.push(ImageRefusal::Series { from, to });
    } else if to < from {
        all.push(ImageRefusal::Older { from, to });
    }
    if candidate.unpublished {
        all.push(ImageRefusal::Unpublished(to));
    }
    let Some(release) = &candidate.release else { return all };
    if to.is_series_of(from) && from < release.min_module {
        all.push(ImageRefusal::TooOldModule { from, min: release.min_module });
    }
    if !release.min_seamldrs.iter().any(|min| min.is_series_of(has) && *min <= has) {
        all.push(ImageRefusal::Seamldr { has, needs: release.min_seamldrs.clone() });
    }
    all
}

/// The newest image that may be uploaded and is newer than the running module; else every image with what is against it, the
/// newest first.
pub fn newest<'a>(
    candidates: &'a [Candidate],
    platform: &Platform,
) -> Result<&'a Candidate, Vec<(&'a Candidate, Vec<ImageRefusal>)>> {
    let mut by_age: Vec<&Candidate> = candidates.iter().collect();
    by_age.sort_by_key(|candidate| std::cmp::Reverse(candidate.version));
    let is_newer = |c: &&Candidate| c.version.is_some_and(|version| version > platform.module);
    let fits = |c: &&&Candidate| is_newer(c) && refusals(c, platform).is_empty();
    match by_age.iter().find(fits) {
        Some(candidate) => Ok(candidate),
        None => Err(by_age.into_iter().map(|c| (c, refusals(c, platform))).collect()),
    }
}

#[cfg(test)]
mod tests;
