//! SHA-256 as lower-case hex, the address of everything here.

use crate::ImagesError;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Of bytes in memory.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Of a file's content.
pub(crate) fn of_file(path: &Path) -> Result<String, ImagesError> {
    let mut digest = Sha256::new();
    let mut file = File::open(path).map_err(ImagesError::io(path))?;
    std::io::copy(&mut file, &mut digest).map_err(ImagesError::io(path))?;
    Ok(hex::encode(digest.finalize()))
}

/// Bytes of a block of [`of_blocks`].
const BLOCK: usize = 1 << 16;

/// Of a file's length and those of its blocks that are not all zeros, each with its place. So a saved machine's memory costs what its
/// data costs, not its length, and the hash is the same where another file system has the holes elsewhere or none.
pub(crate) fn of_blocks(path: &Path) -> Result<String, ImagesError> {
    sparse(path).map_err(ImagesError::io(path))
}

fn sparse(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    let (mut at, mut block) = (0, vec![0; BLOCK]);
    while at < length {
        let data = match lseek(&file, at.cast_signed(), Whence::SeekData) {
            Ok(data) => data.cast_unsigned(),
            Err(Errno::ENXIO) => break, // No data up to the end.
            Err(error) => return Err(error.into()),
        };
        at = data - data % BLOCK as u64;
        let size = usize::try_from(length.saturating_sub(at)).map_or(BLOCK, |left| left.min(BLOCK));
        file.read_exact_at(&mut block[..size], at)?;
        if block[..size].iter().any(|byte| *byte != 0) {
            digest.update(at.to_le_bytes());
            digest.update(&block[..size]);
        }
        at += BLOCK as u64;
    }
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_the_published_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn holes_and_zeros_are_the_same_and_data_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, write: &dyn Fn(&File)| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_len(1 << 20).unwrap();
            write(&file);
            of_blocks(&path).unwrap()
        };
        let holes = file("holes", &|file| file.write_all_at(b"data", 300_000).unwrap());
        let zeros = file("zeros", &|file| {
            file.write_all_at(&vec![0; 1 << 20], 0).unwrap();
            file.write_all_at(b"data", 300_000).unwrap();
        });
        assert_eq!(holes, zeros);
        assert_ne!(holes, file("other place", &|file| file.write_all_at(b"data", 700_000).unwrap()));
        assert_ne!(holes, file("other data", &|file| file.write_all_at(b"date", 300_000).unwrap()));
        let last = file("last", &|file| file.write_all_at(b"x", (1 << 20) - 1).unwrap());
        assert_ne!(last, file("none", &|_| ()));
        assert_ne!(
            holes,
            file("longer", &|file| {
                file.write_all_at(b"data", 300_000).unwrap();
                file.set_len((1 << 20) + 1).unwrap();
            })
        );
    }
}
