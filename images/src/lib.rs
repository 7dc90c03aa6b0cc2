//! Everything a run needs besides the rig itself: QEMU, kernels, initramfs, the guest agent, the QEMU plugin.
//!
//! Each is built once and kept in one cache folder (`RIG_CACHE`, else the XDG cache), addressed by the hash of what
//! made it. Two builders at once are safe; a killed one leaves nothing that a later one could mistake for a result.

mod apt;
mod buildroot;
mod cache;
mod clean;
mod contents;
mod durable;
mod elf;
mod error;
mod hash;
mod host;
mod images;
mod initramfs;
mod kernel;
mod lock;
mod manifest;
mod members;
mod mirror;
mod pack;
mod packages;
mod parts;
mod progress;
mod root;
mod run;
mod sandbox;
mod soundness;
mod stamp;
mod toolroot;
mod tools;
mod unpack;
mod userspace;
mod version;

pub use cache::{CacheEntry, VerifiedEntry};
pub use error::ImagesError;
pub use host::missing_host_tools;
pub use images::Images;
pub use initramfs::MODULES_FOLDER;
pub use kernel::{
    Compiled, DebianKernel, Fragment, Kernel, KernelBench, KernelConfig, KernelRequest, MergedConfig, Pattern, Remade,
    SourceEdit, Workbench, file_stem, merge_config,
};
pub use manifest::Artifact;
pub(crate) use manifest::Manifest;
pub use mirror::MIRROR_VARIABLE;
pub use parts::PARTS;
pub use progress::{Progress, Step};
pub use root::CACHE_VARIABLE;
pub use toolroot::ToolRoot;
pub use userspace::Userspace;
