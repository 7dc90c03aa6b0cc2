//! Finding images: one by its file, or all that lie beside a mapping file.

use super::Candidate;
use crate::blob::Blob;
use crate::mapping::Mapping;
use crate::trouble::Trouble;
use crate::version::Version;
use std::fs;
use std::path::Path;

/// The image in this file, which is read here and never again. Its version is `given`, else what its name says.
pub fn by_file(path: &Path, given: Option<Version>, mapping: Option<&Mapping>) -> Result<Candidate, Trouble> {
    let bytes = fs::read(path).map_err(|e| Trouble::file("read", path, &e))?;
    let version = given.or_else(|| version_of_name(path));
    let release = version.zip(mapping).and_then(|(version, mapping)| mapping.release(version).cloned());
    let unpublished = mapping.is_some() && version.is_some() && release.is_none();
    let blob = Blob::parse(&bytes);
    Ok(Candidate { path: path.into(), version, release, unpublished, blob, bytes })
}

/// All images beside a mapping file, in the places where the release repository has them: `joined_files/X.Y/`; also beside
/// the file itself.
pub fn by_mapping(path: &Path) -> Result<Vec<Candidate>, Trouble> {
    let mapping = Mapping::load(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let series = files_of(&folder.join("joined_files"));
    let mut files: Vec<_> = series.iter().flat_map(|folder| files_of(folder)).chain(files_of(folder)).collect();
    files.retain(|file| version_of_name(file).is_some());
    files.iter().map(|file| by_file(file, None, Some(&mapping))).collect()
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// `tdx_module_1.5.06.blob`.
fn version_of_name(path: &Path) -> Option<Version> {
    path.file_name()?.to_str()?.strip_prefix("tdx_module_")?.strip_suffix(".blob")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::image::{ImageSpec, build, mapping_file};

    #[test]
    fn images_are_found_where_the_repository_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let old = ImageSpec::default();
        let new = ImageSpec { update: old.update + 1, ..old.clone() };
        let series = folder.path().join(format!("joined_files/{}.{}", old.major, old.minor));
        fs::create_dir_all(&series).unwrap();
        for spec in [&old, &new] {
            fs::write(series.join(format!("tdx_module_{}.blob", spec.version_string())), build(spec)).unwrap();
        }
        fs::write(series.join("notes.txt"), "").unwrap();
        let stray = folder.path().join("tdx_module_9.9.99.blob");
        fs::write(&stray, "no image").unwrap();
        let mapping = folder.path().join("mapping_file.json");
        fs::write(&mapping, mapping_file(&[old.clone(), new])).unwrap();
        let found = by_mapping(&mapping).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found[..2].iter().all(|c| c.release.is_some() && c.blob.is_ok() && !c.unpublished));
        assert!(found[2].unpublished && found[2].blob.is_err());
    }

    #[test]
    fn the_callers_word_counts_more_than_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.bin");
        fs::write(&path, build(&ImageSpec::default())).unwrap();
        assert_eq!(by_file(&path, None, None).unwrap().version, None);
        let given = "1.5.07".parse().unwrap();
        assert_eq!(by_file(&path, Some(given), None).unwrap().version, Some(given));
        assert!(by_file(&folder.path().join("none"), None, None).is_err());
    }
}
