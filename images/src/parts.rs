//! Parts of this workspace that run elsewhere: the agent in the guest, the plugin in QEMU.

use std::path::PathBuf;

/// The cargo that builds them: the one that runs us, else the one in PATH.
pub(crate) fn cargo_path() -> Option<PathBuf> {
    std::env::var_os("CARGO").map(PathBuf::from).filter(|path| path.exists()).or_else(|| crate::host::find("cargo"))
}
