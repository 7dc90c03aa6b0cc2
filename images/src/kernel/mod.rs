//! Kernels: what to build, what came out, and kernels that other people built.

mod bench;
mod build;
mod compiler;
mod config;
pub(crate) mod debian;
mod edit;
mod fragment;
mod ground;
mod header;
mod kept;
mod merge;
mod module_file;
mod modules;
mod outside;
mod tree;
mod workbench;

use crate::ImagesError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(crate) use bench::remade;
pub use bench::{KernelBench, Remade};
pub(crate) use build::{build, recipe, source_folder, source_text};
pub use config::KernelConfig;
pub use debian::DebianKernel;
pub use edit::{Pattern, SourceEdit};
pub use fragment::Fragment;
pub use merge::{MergedConfig, merge_config};
pub use module_file::file_stem;
pub(crate) use module_file::read_module;
pub(crate) use outside::build_modules;
pub use workbench::{Compiled, Workbench};

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRequest {
    /// Configuration fragments on top of `tinyconfig`, in order.
    pub profile: Vec<Fragment>,
    /// Changes to the source, in order; empty for the unmodified kernel.
    pub edits: Vec<SourceEdit>,
}

impl Default for KernelRequest {
    /// `base` and `tdx-host`, unmodified: the usual subject.
    fn default() -> Self {
        let named = |name| Fragment::named(name).expect("it comes with this crate");
        Self { profile: vec![named("base"), named("tdx-host")], edits: Vec::new() }
    }
}

impl KernelRequest {
    /// Names of the kernels that [`KernelRequest::profile`] makes.
    pub const PROFILES: &[&str] = &["usual", "debug", "kcsan", "rt"];

    /// The usual subject under one of [`KernelRequest::PROFILES`]: with lock, context and memory checks, with the detector of
    /// data races, or fully preemptible.
    pub fn profile(name: &str) -> Result<Self, ImagesError> {
        let mut request = Self::default();
        match name {
            "usual" => {}
            name if Self::PROFILES.contains(&name) => request.profile.push(Fragment::named(name)?),
            _ => return Err(ImagesError::NoProfile { name: name.into(), known: Self::PROFILES }),
        }
        Ok(request)
    }

    /// The usual subject with `edits`: only what they touch is compiled again.
    pub fn edited(edits: Vec<SourceEdit>) -> Self {
        Self { edits, ..Self::default() }
    }
}

/// A kernel, ready to boot and to look symbols up in.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What QEMU's `-kernel` takes.
    pub bzimage: PathBuf,
    /// `System.map`, if there is one.
    pub system_map: Option<PathBuf>,
    /// The ELF file with symbols, if there is one. At least one of the two is there, but for Debian's kernels.
    pub vmlinux: Option<PathBuf>,
    /// All `.ko` files, in the order of `modules.order` if there is one.
    pub modules: Vec<PathBuf>,
    /// Release, such as `7.3.4`, as the image itself says.
    pub release: String,
    /// `.config`, if there is one.
    pub config: Option<PathBuf>,
    /// The build tree, if the kernel was given or built as one.
    pub tree: Option<PathBuf>,
}

impl Kernel {
    /// Its build tree, or else its image: what a person gave, or might have given.
    pub fn place(&self) -> &Path {
        self.tree.as_deref().unwrap_or(&self.bzimage)
    }

    /// Whether its code was instrumented by KASAN or KCSAN.
    pub fn is_instrumented(&self) -> bool {
        ["CONFIG_KASAN=y", "CONFIG_KCSAN=y"].iter().any(|line| self.is_configured(line))
    }

    /// The file that a machine starts: a kernel with a PVH entry from its ELF file, which saves unpacking it on an emulated CPU.
    /// That entry runs before the memory of KASAN and KCSAN is there, so an instrumented kernel would reset itself.
    pub fn starts_from(&self) -> &Path {
        match &self.vmlinux {
            Some(vmlinux) if self.is_configured("CONFIG_PVH=y") && !self.is_instrumented() => vmlinux,
            _ => &self.bzimage,
        }
    }

    /// How often a second it ticks, as its configuration says; none without one.
    pub fn hz(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.config.as_ref()?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("CONFIG_HZ="))?.parse().ok()
    }

    /// Whether its configuration has this line, such as `CONFIG_PVH=y`; false without a configuration.
    pub fn is_configured(&self, line: &str) -> bool {
        let config = self.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        config.is_some_and(|text| text.lines().any(|own| own == line))
    }
}
