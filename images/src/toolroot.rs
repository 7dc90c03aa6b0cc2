//! QEMU, unpacked into a folder with its own libraries.

use crate::ImagesError;
use std::path::PathBuf;
use std::process::Command;

/// A folder with QEMU and the libraries it needs, independent of the host's.
#[derive(Debug)]
pub struct ToolRoot {
    /// The folder: `usr/bin/qemu-system-x86_64` and so on lie below it.
    pub root: PathBuf,
}

impl ToolRoot {
    /// `qemu-system-x86_64`, started through the root's own dynamic loader, with `-L` for its firmware.
    pub fn qemu_command(&self) -> Command {
        todo!()
    }

    /// `qemu-img`, started likewise.
    pub fn qemu_img_command(&self) -> Command {
        todo!()
    }

    /// Upstream version of QEMU, such as `11.1.3`, as the program itself says.
    pub fn qemu_version(&self) -> Result<String, ImagesError> {
        todo!()
    }
}
