//! SHA-256 of a file.

use crate::trouble::Trouble;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

/// SHA-256 of the content of a file, as lower-case hexadecimal digits. The file is read piece by piece: a kernel with debug
/// information has hundreds of megabytes.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String, Trouble> {
    let failed = |error| Trouble::file("read", path, &error);
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).map_err(failed)?, &mut hash).map_err(failed)?;
    Ok(hex::encode(hash.finalize()))
}
