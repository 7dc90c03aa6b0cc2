//! `cargo rig dist`: one archive with all that a TDX host needs, and a Debian package of it.

mod deb;
mod licences;

use crate::packed::{Packed, VERSION, archive};
use crate::trouble::Trouble;
use rig_images::Images;
use std::fs;
use std::path::{Path, PathBuf};

/// Where things come from in the workspace, and where they go.
const FOLDERS: [(&str, &str, &[&str]); 4] = [
    ("guest-kmod", "guest-kmod", &["c", "h", "S", "conf"]),
    ("tests/scenarios", "scenarios", &["toml"]),
    ("docs/ci/kselftest", "kselftest", &["sh"]),
    ("docs/ci", "ci", &["yml"]),
];
/// Single files. The GPL's text is for `guest-kmod`.
const FILES: [(&str, &str); 10] = [
    ("guest-kmod/Kbuild", "guest-kmod/Kbuild"),
    ("guest-kmod/Makefile", "guest-kmod/Makefile"),
    ("docs/ci/kselftest/Makefile", "kselftest/Makefile"),
    ("docs/ci/kselftest/settings", "kselftest/settings"),
    ("docs/ci/kselftest/config", "kselftest/config"),
    ("docs/how-to/real-host.md", "README.md"),
    ("LICENSE-MIT", "licences/LICENSE-MIT"),
    ("LICENSE-APACHE", "licences/LICENSE-APACHE"),
    ("LICENSE-GPL-2.0", "licences/LICENSE-GPL-2.0"),
    ("LICENSE-GPL-2.0", "guest-kmod/COPYING"),
];

/// Everything that goes into the archive: builds the static programs, and collects the rest from the workspace.
pub fn collect(images: &Images) -> Result<Vec<Packed>, Trouble> {
    let workspace = workspace()?;
    let mut all = Vec::new();
    for (name, path) in [("bin/rig-hw", images.hw()?), ("bin/rig-agent", images.agent()?)] {
        all.push(Packed { path: name.into(), program: true, bytes: read(&path)? });
    }
    for (from, to, endings) in FOLDERS {
        all.extend(folder(&workspace.join(from), to, endings)?);
    }
    for (from, to) in FILES {
        all.push(Packed { path: to.into(), program: false, bytes: read(&workspace.join(from))? });
    }
    all.extend(licences::of_dependencies(&workspace)?);
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// Writes the archive, and the Debian package if it is wanted, into a folder; returns the files.
pub fn write(all: &[Packed], folder: &Path, wants_deb: bool) -> Result<Vec<PathBuf>, Trouble> {
    fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
    let name = format!("seamrig-{VERSION}");
    let path = folder.join(format!("{name}-x86_64.tar.gz"));
    let bytes = archive(&name, all).map_err(|e| Trouble::file("write", &path, &e))?;
    fs::write(&path, bytes).map_err(|e| Trouble::file("write", &path, &e))?;
    let mut written = vec![path];
    if wants_deb {
        written.push(deb::package(all, folder)?);
    }
    Ok(written)
}

fn workspace() -> Result<PathBuf, Trouble> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    if workspace.join("Cargo.toml").is_file() {
        return Ok(workspace.to_owned());
    }
    let help = "make the archive where the rig was built, from its sources";
    Err(Trouble::environment("the rig's sources are not here", help))
}

/// Files of a folder with these endings; shell scripts are programs.
fn folder(from: &Path, to: &str, endings: &[&str]) -> Result<Vec<Packed>, Trouble> {
    let entries = fs::read_dir(from).map_err(|e| Trouble::file("read", from, &e))?;
    let mut all = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if endings.contains(&ending.as_str()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push(Packed { path: format!("{to}/{name}"), program: ending == "sh", bytes: read(&path)? });
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|e| Trouble::file("read", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_there() {
        let workspace = workspace().unwrap();
        for (from, _) in FILES {
            assert!(workspace.join(from).is_file(), "{from}");
        }
        for (from, to, endings) in FOLDERS {
            assert!(!folder(&workspace.join(from), to, endings).unwrap().is_empty(), "{from}");
        }
    }

    /// DKMS would look in vain for a module that the sources do not make.
    #[test]
    fn every_module_of_the_description_is_built() {
        let workspace = workspace().unwrap();
        let text = |name| fs::read_to_string(workspace.join("guest-kmod").join(name)).unwrap();
        let (conf, kbuild) = (text("dkms.conf"), text("Kbuild"));
        let made = kbuild.lines().find_map(|line| line.strip_prefix("obj-m := ")).unwrap();
        let named: Vec<&str> = conf.lines().filter_map(|line| line.strip_prefix("BUILT_MODULE_NAME[")).collect();
        assert!(!named.is_empty());
        for name in named.iter().filter_map(|line| line.split('"').nth(1)) {
            assert!(made.split(' ').any(|object| object == format!("{name}.o")), "{name}");
        }
        assert!(conf.contains(&format!("PACKAGE_VERSION=\"{VERSION}\"")));
    }
}
