//! Files of modules, which distributions compress.

use crate::{ImagesError, tools};
use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// Endings of modules, and the host's program that unpacks such a file.
const ENDINGS: [(&str, Option<&str>); 4] =
    [(".ko", None), (".ko.gz", None), (".ko.xz", Some("xz")), (".ko.zst", Some("zstd"))];

/// Whether this is the file of a module.
pub(super) fn is_module(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ENDINGS.iter().any(|(ending, _)| name.ends_with(ending))
}

/// Name of a file without its last ending, and of a module without all of it.
pub fn file_stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match ENDINGS.iter().find_map(|(ending, _)| name.strip_suffix(ending)) {
        Some(stem) => stem.to_owned(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Reads a module, unpacked.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>, ImagesError> {
    let name = path.to_string_lossy();
    let program = ENDINGS.iter().find_map(|(ending, program)| program.filter(|_| name.ends_with(ending)));
    if let Some(program) = program {
        return unpacked_by(program, path);
    }
    let bytes = fs::read(path).map_err(ImagesError::io(path))?;
    if !name.ends_with(".gz") {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).map_err(ImagesError::io(path))?;
    Ok(unpacked)
}

fn unpacked_by(program: &str, path: &Path) -> Result<Vec<u8>, ImagesError> {
    let tool = tools::find(program).ok_or_else(|| ImagesError::MissingHostTools(vec![program.into()]))?;
    let output = Command::new(tool).arg("-dc").arg(path).output().map_err(ImagesError::io(path))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ImagesError::Program { program: program.into(), detail, log: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn a_module_has_its_name_whether_or_not_it_is_compressed() {
        for name in ["kvm-intel.ko", "kvm-intel.ko.gz", "kvm-intel.ko.xz", "kvm-intel.ko.zst"] {
            let path = Path::new("/lib/modules/7.3.4").join(name);
            assert!(is_module(&path) && file_stem(&path) == "kvm-intel", "{name}");
        }
        assert!(!is_module(Path::new("kvm.o")) && !is_module(Path::new("ko")));
        assert_eq!(file_stem(Path::new("a/vmlinuz.old")), "vmlinuz");
    }

    #[test]
    fn a_compressed_module_is_read_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.ko");
        fs::write(&plain, "text").unwrap();
        assert_eq!(read_module(&plain).unwrap(), b"text");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"text").unwrap();
        let packed = folder.path().join("b.ko.gz");
        fs::write(&packed, encoder.finish().unwrap()).unwrap();
        assert_eq!(read_module(&packed).unwrap(), b"text");
        if let Some(xz) = tools::find("xz") {
            assert!(Command::new(xz).arg(&plain).status().unwrap().success());
            assert_eq!(read_module(&plain.with_extension("ko.xz")).unwrap(), b"text");
        }
        fs::write(&packed, "no gzip").unwrap();
        assert!(matches!(read_module(&packed), Err(ImagesError::Io { .. })));
    }
}
