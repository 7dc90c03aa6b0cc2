//! Module images and the version mapping file, laid out as the release repository of the TDX module has them
//! (intel/confidential-computing.tdx.tdx-module.binaries): `mapping_file.json` beside `joined_files/X.Y/tdx_module_X.Y.ZZ.blob`.

use crate::scenario::Scenario;
use crate::trouble::Trouble;
use crate::update_image::{update_image, update_spec};
use seam_emu::image::{ImageSpec, build, mapping_file};
use std::fs;
use std::path::{Path, PathBuf};

/// The file by which clients know which version may follow which.
const MAPPING: &str = "mapping_file.json";

/// A file by its path in the folder.
pub type File = (String, Vec<u8>);

/// The scenario's first module and those of its updates 1 to `updates`, good or bad as it has them; the mapping file is the last.
pub fn files(scenario: &Scenario, updates: u32) -> Result<Vec<File>, Trouble> {
    let mut files = vec![(path(&scenario.module), build(&scenario.module))];
    let mut specs = vec![scenario.module.clone()];
    for number in 1..=updates {
        let (image, _) = update_image(scenario, number)?;
        let spec = update_spec(scenario, number);
        files.push((path(&spec), image));
        specs.push(spec);
    }
    files.push((MAPPING.to_owned(), mapping_file(&specs).into_bytes()));
    Ok(files)
}

fn path(spec: &ImageSpec) -> String {
    format!("joined_files/{}.{}/tdx_module_{}.blob", spec.major, spec.minor, spec.version_string())
}

/// Writes them into a folder that is new or empty. A folder that has the mapping file has all.
pub fn write(files: &[File], folder: &Path) -> Result<Vec<PathBuf>, Trouble> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let help = "name a folder that does not exist yet with --out, or remove this one";
        return Err(Trouble::usage(format!("the folder {} is not empty", folder.display()), help));
    }
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).map_err(|e| Trouble::file("make", parent, &e))?;
        fs::write(&path, bytes).map_err(|e| Trouble::file("write", &path, &e))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_hw::choose::{Platform, by_mapping, newest, refusals};

    /// The chooser for real hosts follows the published client's rules, so what it takes from here, that client takes as well.
    #[test]
    fn a_client_finds_every_image_and_chooses_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("images");
        let written = write(&files(&Scenario::default(), 3).unwrap(), &out).unwrap();
        assert_eq!(written.last().unwrap(), &out.join(MAPPING));
        let found = by_mapping(&out.join(MAPPING)).unwrap();
        let module = "1.5.06".parse().unwrap();
        let cpuid_1_eax = Some(crate::machine::command::CPUID_1_EAX);
        let platform = Platform { module, seamldr: "1.5.09".parse().unwrap(), cpuid_1_eax };
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|candidate| refusals(candidate, &platform).is_empty()));
        assert_eq!(newest(&found, &platform).unwrap().version, Some("1.5.09".parse().unwrap()));
    }

    #[test]
    fn the_images_are_as_good_or_bad_as_the_scenarios() {
        let mut scenario = Scenario::default();
        let good = files(&scenario, 1).unwrap();
        scenario.image.mutation = Some(seam_emu::image::Mutation::Hash);
        let bad = files(&scenario, 1).unwrap();
        assert_eq!(good[1].0, "joined_files/1.5/tdx_module_1.5.07.blob");
        let same: Vec<bool> = good.iter().zip(&bad).map(|(good, bad)| good == bad).collect();
        assert_eq!(same, [true, false, true]);
    }

    #[test]
    fn a_folder_is_used_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("mapping_file.json".to_owned(), b"{}".to_vec())];
        write(&files, folder.path()).unwrap();
        assert!(write(&files, folder.path()).unwrap_err().cause.contains("not empty"));
    }
}
