//! A tar file that is the same whenever the same things are packed.

use super::Packed;
use flate2::{Compression, write::GzEncoder};
use std::io;
use tar::{Builder, EntryType, Header};

/// A compressed tar file with everything below one folder.
pub fn archive(folder: &str, all: &[Packed]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for packed in all {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(packed.bytes.len() as u64);
        header.set_mode(if packed.program { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{folder}/{}", packed.path), packed.bytes.as_slice())?;
    }
    tar.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn packed(path: &str, program: bool, text: &str) -> Packed {
        Packed { path: path.into(), program, bytes: text.into() }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let long = "deep/".repeat(40) + "file";
        let all = [packed("bin/a", true, "program"), packed(&long, false, "text")];
        let bytes = archive("x-1", &all).unwrap();
        assert_eq!(bytes, archive("x-1", &all).unwrap(), "the same things make the same bytes");
        let mut tar = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), text)
        });
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries[0], ("x-1/bin/a".into(), 0o755, "program".into()));
        assert_eq!(entries[1], (format!("x-1/{long}"), 0o644, "text".into()));
    }
}
