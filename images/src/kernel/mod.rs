//! Kernels: what to build, what came out, and kernels that other people built.

use crate::ImagesError;
use std::path::{Path, PathBuf};

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRequest {
    /// Configuration fragments on top of `tinyconfig`, in order.
    pub profile: Vec<Fragment>,
    /// Changes to the source, in order; empty for the unmodified kernel.
    pub edits: Vec<SourceEdit>,
}

impl Default for KernelRequest {
    /// `base` and `tdx-host`, unmodified: the usual subject.
    fn default() -> Self {
        todo!()
    }
}

impl KernelRequest {
    /// The usual subject with `edits`: only what they touch is compiled again.
    pub fn edited(edits: Vec<SourceEdit>) -> Self {
        Self { edits, ..Self::default() }
    }
}

/// Lines of kernel configuration, each of them a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Name for messages.
    pub name: String,
    /// `CONFIG_X=y` and `# CONFIG_X is not set` lines; other comments are free.
    pub text: String,
}

impl Fragment {
    /// Fragments that come with this crate.
    pub const NAMES: &[&str] = &["base", "tdx-host"];

    /// One of [`Fragment::NAMES`].
    pub fn named(name: &str) -> Result<Self, ImagesError> {
        Err(ImagesError::NoFragment(name.into()))
    }
}

/// One change to a source file, as `sed` would make it: every match is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEdit {
    /// Path in the kernel source, such as `arch/x86/virt/vmx/tdx/seamldr.c`.
    pub file: String,
    /// What is replaced.
    pub from: Pattern,
    /// By what. With [`Pattern::Regex`], `$1` and `${name}` stand for groups.
    pub to: String,
}

/// What an edit looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This very text.
    Literal(String),
    /// A regular expression of the regex crate.
    Regex(String),
}

impl SourceEdit {
    /// Replaces this very text.
    pub fn literal(file: &str, from: &str, to: &str) -> Self {
        Self { file: file.into(), from: Pattern::Literal(from.into()), to: to.into() }
    }

    /// Replaces what a regular expression matches.
    pub fn regex(file: &str, from: &str, to: &str) -> Self {
        Self { file: file.into(), from: Pattern::Regex(from.into()), to: to.into() }
    }
}

/// A kernel, ready to boot and to look symbols up in.
#[derive(Debug)]
pub struct Kernel {
    /// What QEMU's `-kernel` takes.
    pub bzimage: PathBuf,
    /// `System.map`, if there is one.
    pub system_map: Option<PathBuf>,
    /// The ELF file with symbols, if there is one. At least one of the two is there.
    pub vmlinux: Option<PathBuf>,
    /// All `.ko` files, in the order of `modules.order` if there is one.
    pub modules: Vec<PathBuf>,
    /// Release, such as `7.3.4`, as the image itself says.
    pub release: String,
    /// `.config`, if there is one.
    pub config: Option<PathBuf>,
}

impl Kernel {
    /// A kernel that somebody else built: a build tree, or a bzImage with a `System.map` beside it.
    pub fn from_path(path: &Path) -> Result<Self, ImagesError> {
        Err(ImagesError::NoKernelImage(path.into()))
    }

    /// The module named `name` (`tdx-host` and `tdx_host` are the same) and before it all it depends on, in the
    /// order in which they must be loaded.
    pub fn load_order(&self, name: &str) -> Result<Vec<PathBuf>, ImagesError> {
        todo!("{name}")
    }
}
