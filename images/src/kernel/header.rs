//! The setup header of an x86 kernel image (Documentation/arch/x86/boot.rst).

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Offset of the magic `HdrS`.
const MAGIC_OFFSET: usize = 0x202;
/// Offset of `kernel_version`, a 16-bit pointer to the version string, less 0x200.
const VERSION_OFFSET: usize = 0x20e;
/// The string lies in the setup code, which ends well before this.
const SETUP_BYTES: u64 = 64 * 1024;

/// Release of the kernel in the image at `path`, such as `7.3.4`; `None` when it is no such image.
pub(crate) fn release(path: &Path) -> Option<String> {
    let mut setup = Vec::new();
    File::open(path).ok()?.take(SETUP_BYTES).read_to_end(&mut setup).ok()?;
    parse(&setup)
}

fn parse(setup: &[u8]) -> Option<String> {
    if setup.get(MAGIC_OFFSET..MAGIC_OFFSET + 4)? != b"HdrS" {
        return None;
    }
    let pointer = setup.get(VERSION_OFFSET..VERSION_OFFSET + 2)?;
    let start = 0x200 + usize::from(u16::from_le_bytes([pointer[0], pointer[1]]));
    let text = setup.get(start..)?.split(|byte| *byte == 0).next()?;
    let release = std::str::from_utf8(text).ok()?.split_whitespace().next()?;
    Some(release.to_owned())
}

/// The start of an image that says it is `version`.
#[cfg(test)]
pub(crate) fn fabricate(version: &str) -> Vec<u8> {
    let mut image = vec![0; 0x1000];
    image[MAGIC_OFFSET..MAGIC_OFFSET + 4].copy_from_slice(b"HdrS");
    image[VERSION_OFFSET..VERSION_OFFSET + 2].copy_from_slice(&0x600_u16.to_le_bytes());
    image[0x800..0x800 + version.len()].copy_from_slice(version.as_bytes());
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_the_release() {
        let image = fabricate("7.3.4 (rig@rig) #1 SMP PREEMPT 2026-01-01");
        assert_eq!(parse(&image).as_deref(), Some("7.3.4"));
    }

    #[test]
    fn cannot_read_what_is_no_image() {
        assert_eq!(parse(b"\x7fELF"), None);
        assert_eq!(parse(&vec![0; 0x1000]), None);
        let mut beyond = fabricate("7.3.4");
        beyond[VERSION_OFFSET..VERSION_OFFSET + 2].copy_from_slice(&0xfff0_u16.to_le_bytes());
        assert_eq!(parse(&beyond), None);
    }
}
