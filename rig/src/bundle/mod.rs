//! `rig bundle`: what one sends to a colleague who is to look at a run, judge it again, and run it again.

mod minimal;
mod readme;

use crate::packed::Packed;
use crate::scenario;
use crate::trouble::Trouble;
use minimal::Minimal;
use rig_judge::Verdict;
use std::fs;
use std::path::Path;

/// Files of a run that a bundle has, as far as the run has them. What only makes sense on the machine of the run (the
/// plan, QEMU's command line, the manifest of files) is left out, and so is the module's image, which need not be free.
const FILES: [&str; 8] = [
    "verdict.txt",
    "verdict.json",
    "report.html",
    "events.bin",
    "kmsg.log",
    "console.log",
    "schedule.json",
    "junit.xml",
];
/// Without these there is nothing to look at.
const NEEDED: [&str; 3] = ["verdict.json", "events.bin", "scenario.toml"];
/// How far above the kernel's image its build tree's `.config` may be: `arch/x86/boot/bzImage`.
const CONFIG_LEVELS: usize = 4;

/// The files of a bundle of this run folder.
pub fn collect(run: &Path) -> Result<Vec<Packed>, Trouble> {
    let help = "give the folder of a finished run, such as one under runs/";
    if let Some(missing) = NEEDED.iter().find(|name| !run.join(name).is_file()) {
        return Err(Trouble::usage(format!("{} has no {missing}", run.display()), help));
    }
    let verdict: Verdict = serde_json::from_slice(&read(&run.join("verdict.json"))?)
        .map_err(|e| Trouble::usage(format!("{}/verdict.json is no verdict: {e}", run.display()), help))?;
    let minimal = Minimal::of(&scenario::from_file(&run.join("scenario.toml"))?);
    let mut all = Vec::new();
    for name in FILES.iter().filter(|name| run.join(name).is_file()) {
        all.push(packed(name, read(&run.join(name))?));
    }
    let config = verdict.facts.kernel_image.as_ref().and_then(|image| config_of(&image.path));
    let has_config = config.is_some();
    all.extend(config.map(|bytes| packed("kernel.config", bytes)));
    all.push(packed("README.txt", readme::text(&verdict, &minimal, has_config).into_bytes()));
    all.push(packed("scenario.toml", minimal.text.into_bytes()));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// The configuration of the kernel's build tree, if its image lies in one.
fn config_of(image: &Path) -> Option<Vec<u8>> {
    let folders = image.ancestors().skip(1).take(CONFIG_LEVELS);
    folders.map(|folder| folder.join(".config")).find_map(|file| fs::read(file).ok())
}

fn packed(path: &str, bytes: Vec<u8>) -> Packed {
    Packed { path: path.into(), program: false, bytes }
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|e| Trouble::file("read", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_run_is_refused_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let trouble = collect(folder.path()).unwrap_err();
        assert!(trouble.to_string().contains("has no verdict.json"), "{trouble}");
    }

    #[test]
    fn the_configuration_is_found_above_an_image_and_no_further() {
        let tree = tempfile::tempdir().unwrap();
        let boot = tree.path().join("arch/x86/boot");
        fs::create_dir_all(boot.join("a/b")).unwrap();
        fs::write(tree.path().join(".config"), "CONFIG_X=y\n").unwrap();
        assert_eq!(config_of(&tree.path().join("vmlinux")).unwrap(), b"CONFIG_X=y\n");
        assert_eq!(config_of(&boot.join("bzImage")).unwrap(), b"CONFIG_X=y\n");
        assert_eq!(config_of(&boot.join("a/b/bzImage")), None);
    }
}
