//! A folder as an archive that the kernel unpacks
//! ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).

use crate::ImagesError;
use cpio::NewcBuilder;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use walkdir::WalkDir;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const PERMISSIONS: u32 = 0o7777;

/// All that lies below `root`, by name, as if root owned it: the same files make the same bytes.
pub(crate) fn folder(root: &Path) -> Result<Vec<u8>, ImagesError> {
    let mut bytes = Vec::new();
    for (inode, entry) in (1..).zip(WalkDir::new(root).min_depth(1).sort_by_file_name()) {
        let entry = entry.map_err(|error| ImagesError::io(root)(error.into()))?;
        let path = entry.path();
        let data = entry.metadata().map_err(|error| ImagesError::io(path)(error.into()))?;
        let name = path.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
        let content = content(path, &data).map_err(ImagesError::io(path))?;
        add(&mut bytes, inode, &name, mode(&data), &content).map_err(ImagesError::io(path))?;
    }
    cpio::newc::trailer(&mut bytes).map_err(ImagesError::io(root))?;
    Ok(bytes)
}

fn add(bytes: &mut Vec<u8>, inode: u32, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut member = NewcBuilder::new(name).ino(inode).mode(mode).nlink(1).write(bytes, size);
    member.write_all(content)?;
    member.finish().map(drop)
}

fn mode(data: &Metadata) -> u32 {
    if data.is_symlink() {
        return LINK;
    }
    let kind = if data.is_dir() { FOLDER } else { FILE };
    kind | data.mode() & PERMISSIONS
}

/// Of a link, where it leads.
fn content(path: &Path, data: &Metadata) -> io::Result<Vec<u8>> {
    if data.is_symlink() {
        Ok(fs::read_link(path)?.into_os_string().into_vec())
    } else if data.is_file() {
        fs::read(path)
    } else {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::NewcReader;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn sample() -> Vec<u8> {
        let root = tempfile::tempdir().unwrap();
        let (bin, program) = (root.path().join("usr/bin"), root.path().join("usr/bin/dash"));
        fs::create_dir_all(&bin).unwrap();
        fs::write(&program, "program").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("dash", bin.join("sh")).unwrap();
        symlink("usr/bin", root.path().join("bin")).unwrap();
        folder(root.path()).unwrap()
    }

    #[test]
    fn folders_programs_and_links_are_kept() {
        let bytes = sample();
        let (mut rest, mut members) = (bytes.as_slice(), Vec::new());
        loop {
            let mut reader = NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut content = String::new();
            io::Read::read_to_string(&mut reader, &mut content).unwrap();
            members.push((reader.entry().name().to_owned(), reader.entry().mode() & !0o022, content));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("bin", LINK & !0o022, "usr/bin"),
            ("usr", FOLDER | 0o755, ""),
            ("usr/bin", FOLDER | 0o755, ""),
            ("usr/bin/dash", FILE | 0o755, "program"),
            ("usr/bin/sh", LINK & !0o022, "dash"),
        ];
        let expected = expected.map(|(name, mode, content)| (name.to_owned(), mode, content.to_owned()));
        assert_eq!(members, expected);
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        assert_eq!(sample(), sample());
        assert!(folder(Path::new("/nonexistent")).is_err());
    }
}
