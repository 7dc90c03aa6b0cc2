//! Kernel modules of the initramfs.

use crate::failure;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use rig_wire::agent::Failure;
use std::ffi::CString;
use std::fs::File;

/// Where the rig puts modules into the initramfs.
const FOLDER: &str = "/lib/modules/rig";

/// Loads `/lib/modules/rig/NAME.ko` with these parameters. Dependencies are the caller's matter.
pub(crate) fn load(name: &str, parameters: &str) -> Result<(), Failure> {
    let path = format!("{FOLDER}/{}.ko", checked(name)?);
    let file = File::open(&path).map_err(|e| failure::from_io(format_args!("open {path}"), &e))?;
    let parameters = c_string(parameters)?;
    finit_module(&file, &parameters, ModuleInitFlags::empty())
        .map_err(|errno| failure::from_errno(format_args!("load module {name}"), errno))
}

/// Removes a module, at once or not at all.
pub(crate) fn unload(name: &str) -> Result<(), Failure> {
    let in_kernel = c_string(&checked(name)?.replace('-', "_"))?;
    delete_module(&in_kernel, DeleteModuleFlags::O_NONBLOCK)
        .map_err(|errno| failure::from_errno(format_args!("unload module {name}"), errno))
}

fn checked(name: &str) -> Result<&str, Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(good) {
        return Err(failure::refused(libc::EINVAL, format_args!("{name:?} is no module name")));
    }
    Ok(name)
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| failure::refused(libc::EINVAL, format_args!("{text:?} contains a NUL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_name_modules_as_their_files_are() {
        assert_eq!(checked("tdx-host").unwrap(), "tdx-host");
        assert_eq!(checked("kvm_intel").unwrap(), "kvm_intel");
    }

    #[test]
    fn cannot_leave_the_folder() {
        for name in ["", "../evil", "a/b", "a.ko", "a\0b"] {
            assert_eq!(checked(name).unwrap_err().errno, Some(libc::EINVAL), "{name:?}");
        }
    }

    #[test]
    fn cannot_load_what_is_not_there() {
        assert_eq!(load("no-such-module-here", "").unwrap_err().errno, Some(libc::ENOENT));
    }
}
