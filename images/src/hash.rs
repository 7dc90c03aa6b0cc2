//! SHA-256 as lower-case hex, the address of everything here.

use crate::ImagesError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;

/// Of bytes in memory.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Of a file's content.
pub(crate) fn of_file(path: &Path) -> Result<String, ImagesError> {
    let mut digest = Sha256::new();
    let mut file = File::open(path).map_err(ImagesError::io(path))?;
    std::io::copy(&mut file, &mut digest).map_err(ImagesError::io(path))?;
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_the_published_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(super::of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
