//! The guest's first file system: the agent as `/init`, modules, and whatever a run adds.

use crate::{ImagesError, kernel, unpack};
use cpio::NewcBuilder;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Folder of the modules in the guest.
pub const MODULES_FOLDER: &str = "lib/modules/rig";

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CONSOLE: u32 = 0o020_600;

/// Folders whose files are programs.
const PROGRAMS: [&str; 2] = ["bin/", "client/"];

/// What an archive is made of: paths without a leading slash, and contents.
#[derive(Debug, Default)]
pub(crate) struct InitramfsContents {
    /// What is unpacked before: a userspace in which `bin`, `lib` and so on are links into `usr`; empty: none.
    below: Vec<u8>,
    files: Vec<(String, u32, Vec<u8>)>,
}

impl InitramfsContents {
    /// Reads the agent and the modules.
    pub(crate) fn read(agent: &Path, modules: &[PathBuf], extra: &[(String, Vec<u8>)]) -> Result<Self, ImagesError> {
        let read = |path: &Path| fs::read(path).map_err(ImagesError::io(path));
        let mut files = vec![("init".to_owned(), PROGRAM, read(agent)?)];
        for module in modules {
            files.push((
                format!("{MODULES_FOLDER}/{}.ko", kernel::file_stem(module)),
                FILE,
                kernel::read_module(module)?,
            ));
        }
        for (path, content) in extra {
            let path = path.trim_start_matches('/');
            let mode = if PROGRAMS.iter().any(|folder| path.starts_with(folder)) { PROGRAM } else { FILE };
            files.push((path.to_owned(), mode, content.clone()));
        }
        Ok(Self { below: Vec::new(), files })
    }

    /// The same on top of a userspace.
    pub(crate) fn over(self, userspace: Vec<u8>) -> Self {
        Self { below: userspace, ..self }
    }

    /// Where a path leads: a folder in place of a userspace's link would take its files away.
    fn place(&self, path: &str) -> String {
        let link = unpack::LINKS.iter().find(|(link, _)| path.split('/').next() == Some(link));
        match link.filter(|_| !self.below.is_empty()) {
            Some((link, target)) => format!("{target}{}", &path[link.len()..]),
            None => path.to_owned(),
        }
    }

    /// The archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut bytes = self.below.clone();
        // The kernel wants each archive to begin at a multiple of 4.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.write(&mut bytes).expect("writing to memory succeeds");
        bytes
    }

    fn write(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut inode = 0;
        let mut header = |name: &str, mode: u32| {
            inode += 1;
            NewcBuilder::new(name).ino(inode).mode(mode).nlink(if mode & 0o170_000 == 0o040_000 { 2 } else { 1 })
        };
        for folder in self.folders() {
            header(&folder, DIRECTORY).write(&mut *bytes, 0).finish()?;
        }
        // The kernel opens it for init's standard streams before devtmpfs is mounted: character device 5, 1.
        header("dev/console", CONSOLE).rdev_major(5).rdev_minor(1).write(&mut *bytes, 0).finish()?;
        for (path, mode, content) in &self.files {
            let size = u32::try_from(content.len()).map_err(io::Error::other)?;
            let mut file = header(&self.place(path), *mode).write(&mut *bytes, size);
            file.write_all(content)?;
            file.finish()?;
        }
        cpio::newc::trailer(&mut *bytes)?;
        Ok(())
    }

    /// Every folder that is needed, parents first.
    fn folders(&self) -> BTreeSet<String> {
        let usual = ["dev", "proc", "sys", "tmp", MODULES_FOLDER].map(|folder| format!("{folder}/x"));
        let paths: Vec<String> =
            self.files.iter().map(|(path, ..)| path).chain(&usual).map(|path| self.place(path)).collect();
        let parents = paths.iter().flat_map(|path| Path::new(path).ancestors().skip(1));
        parents.map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::NewcReader;

    /// Path, mode, device and content.
    type Member = (String, u32, (u32, u32), Vec<u8>);

    fn members(mut bytes: &[u8]) -> Vec<Member> {
        let mut members = Vec::new();
        loop {
            let mut reader = NewcReader::new(bytes).unwrap();
            if reader.entry().is_trailer() {
                return members;
            }
            let mut content = Vec::new();
            io::copy(&mut reader, &mut content).unwrap();
            let entry = reader.entry();
            let device = (entry.rdev_major(), entry.rdev_minor());
            members.push((entry.name().to_owned(), entry.mode(), device, content));
            bytes = reader.finish().unwrap();
        }
    }

    fn sample() -> InitramfsContents {
        let folder = tempfile::tempdir().unwrap();
        let (agent, module) = (folder.path().join("rig-agent"), folder.path().join("tdx-host.ko"));
        fs::write(&agent, "agent").unwrap();
        fs::write(&module, "module").unwrap();
        InitramfsContents::read(&agent, &[module], &[("/etc/rig/plan".into(), b"plan".to_vec())]).unwrap()
    }

    #[test]
    fn can_be_read_back() {
        let members = members(&sample().archive());
        let find = |name: &str| members.iter().find(|member| member.0 == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((find("init").1, find("init").3.as_slice()), (PROGRAM, b"agent".as_slice()));
        assert_eq!(find("lib/modules/rig/tdx-host.ko").3, b"module");
        assert_eq!((find("etc/rig/plan").1, find("etc/rig/plan").3.as_slice()), (FILE, b"plan".as_slice()));
        assert_eq!((find("dev/console").1, find("dev/console").2), (CONSOLE, (5, 1)));
    }

    #[test]
    fn no_member_comes_before_its_folder() {
        let members = members(&sample().archive());
        for (index, (path, ..)) in members.iter().enumerate() {
            let parent = Path::new(path).parent().unwrap().to_string_lossy().into_owned();
            let before = members[..index].iter().any(|(name, mode, ..)| *name == parent && *mode == DIRECTORY);
            assert!(parent.is_empty() || before, "{path}");
        }
    }

    #[test]
    fn nothing_takes_the_place_of_a_userspaces_links() {
        let userspace = vec![0; 6];
        let archive = sample().over(userspace.clone()).archive();
        assert!(archive.starts_with(&userspace));
        let names: Vec<String> = members(&archive[8..]).into_iter().map(|member| member.0).collect();
        assert!(names.iter().any(|name| name == "usr/lib/modules/rig/tdx-host.ko"), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("lib")), "{names:?}");
        assert!(names.iter().any(|name| name == "init" || name == "proc"), "{names:?}");
    }

    #[test]
    fn cannot_be_made_of_missing_files() {
        let error = InitramfsContents::read(Path::new("/nonexistent/agent"), &[], &[]).unwrap_err();
        assert!(matches!(error, ImagesError::Io { .. }));
    }

    #[test]
    fn the_same_contents_make_the_same_bytes() {
        assert_eq!(sample().archive(), sample().archive());
    }
}
