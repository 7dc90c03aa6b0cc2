//! What a run may leave behind: a guest that writes without end must not fill the host's disk.

use std::path::PathBuf;

/// The default of the bound, MB.
const USUAL_MB: u32 = 256;

/// A bound on files that grow while a machine runs.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    files: Vec<PathBuf>,
    limit_mb: u32,
}

impl Bound {
    /// Of these files together; `limit_mb` overrides the usual limit, MB.
    pub(crate) fn of(files: Vec<PathBuf>, limit_mb: Option<u32>) -> Self {
        Self { files, limit_mb: limit_mb.unwrap_or(USUAL_MB) }
    }

    /// Why the run is to end, if there is more than there may be.
    pub(crate) fn exceeded(&self) -> Option<String> {
        let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |m| m.len());
        let total_mb = self.files.iter().map(size).fold(0, u64::saturating_add) / 1_000_000;
        let limit_mb = self.limit_mb;
        (total_mb >= u64::from(limit_mb)).then(|| {
            let largest = self.files.iter().max_by_key(|file| size(file)).and_then(|file| file.file_name());
            let largest = largest.unwrap_or_default().to_string_lossy();
            format!(
                "the evidence grew to {total_mb} MB, most of it {largest}, and may have {limit_mb} (--evidence-max-mb)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_together_and_the_largest_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes| {
            let path = dir.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
            path
        };
        let files = vec![file("events.bin", 1_500_000), file("console.log", 600_000), dir.path().join("not-there")];
        assert_eq!(Bound::of(files.clone(), Some(3)).exceeded(), None);
        assert_eq!(Bound::of(files.clone(), None).exceeded(), None);
        let why = Bound::of(files, Some(2)).exceeded().unwrap();
        assert!(why.contains("2 MB, most of it events.bin"), "{why}");
    }
}
