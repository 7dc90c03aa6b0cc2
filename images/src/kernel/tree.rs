//! Kernels that lie somewhere: a build tree, or an image with its symbols beside it.

use super::module_file::is_module;
use super::{Kernel, header};
use crate::{ImagesError, elf};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the image lies in a build tree.
const IMAGE: &str = "arch/x86/boot/bzImage";

/// A function that only kernels with the run-time update of the TDX module have.
const SUBJECT_SYMBOL: &str = "seamldr_install_module";

impl Kernel {
    /// A kernel that somebody else built and that has the subject in it: a build tree, or a bzImage with a
    /// `System.map` beside it.
    pub fn from_path(path: &Path) -> Result<Self, ImagesError> {
        let kernel = Self::from_path_any(path)?;
        kernel.check_tdx_host()?;
        Ok(kernel)
    }

    /// As [`Kernel::from_path`], but the kernel need not have TDX host support (the subject may be a module).
    pub fn from_path_any(path: &Path) -> Result<Self, ImagesError> {
        let path = path.canonicalize().map_err(|_| ImagesError::NoKernelImage(path.into()))?;
        if path.is_dir() { Self::from_tree(&path) } else { Self::from_image(&path) }
    }

    pub(crate) fn from_tree(tree: &Path) -> Result<Self, ImagesError> {
        let bzimage = tree.join(IMAGE);
        let release = header::release(&bzimage).ok_or_else(|| ImagesError::NoKernelImage(bzimage.clone()))?;
        Self {
            system_map: existing(tree.join("System.map")).filter(|path| is_real_map(path)),
            vmlinux: existing(tree.join("vmlinux")),
            modules: find_modules(tree),
            config: existing(tree.join(".config")),
            tree: Some(tree.to_owned()),
            bzimage,
            release,
        }
        .with_symbols()
    }

    fn from_image(image: &Path) -> Result<Self, ImagesError> {
        let release = header::release(image).ok_or_else(|| ImagesError::NoKernelImage(image.into()))?;
        let folder = image.parent().unwrap_or(Path::new("/"));
        // An image inside a build tree is as good as the tree.
        if let Some(tree) = image.to_str().and_then(|path| path.strip_suffix(IMAGE)).map(PathBuf::from)
            && tree.join("System.map").exists()
        {
            return Self::from_tree(&tree);
        }
        let beside =
            |name: &str| existing(folder.join(format!("{name}-{release}"))).or_else(|| existing(folder.join(name)));
        let mut modules = Vec::new();
        collect_modules(folder, 1, &mut modules);
        let installed = if modules.is_empty() { installed_modules(folder, &release) } else { None };
        if let Some(installed) = &installed {
            collect_modules(&installed.join("kernel"), 12, &mut modules);
        }
        modules.sort();
        Self {
            system_map: beside("System.map").filter(|path| is_real_map(path)),
            vmlinux: beside("vmlinux"),
            config: beside("config").or_else(|| beside(".config")),
            modules,
            tree: installed.map(|folder| folder.join("build")).filter(|tree| tree.is_dir()),
            bzimage: image.to_owned(),
            release,
        }
        .with_symbols()
    }

    fn with_symbols(self) -> Result<Self, ImagesError> {
        if self.system_map.is_none() && self.vmlinux.is_none() {
            return Err(ImagesError::NoSymbols(self.bzimage));
        }
        Ok(self)
    }

    /// Whether the subject, Linux's own run-time update of the TDX module, is in this kernel.
    pub fn check_tdx_host(&self) -> Result<(), ImagesError> {
        let error = |evidence: &str| ImagesError::NoTdxHost { path: self.bzimage.clone(), evidence: evidence.into() };
        if let Some(config) = self.config.as_ref().and_then(|path| fs::read_to_string(path).ok())
            && !config.lines().any(|line| line == "CONFIG_INTEL_TDX_HOST=y")
        {
            return Err(error("its configuration lacks CONFIG_INTEL_TDX_HOST=y"));
        }
        if self.has_symbol(SUBJECT_SYMBOL)? {
            return Ok(());
        }
        Err(error(&format!("it has no symbol {SUBJECT_SYMBOL}")))
    }

    /// Whether `System.map`, or else `vmlinux`, knows `name`.
    pub fn has_symbol(&self, name: &str) -> Result<bool, ImagesError> {
        if let Some(map) = &self.system_map {
            let text = fs::read_to_string(map).map_err(ImagesError::io(map))?;
            return Ok(text.lines().any(|line| line.split(' ').nth(2) == Some(name)));
        }
        let vmlinux = self.vmlinux.as_ref().expect("a kernel has symbols");
        Ok(elf::has_symbol(&fs::read(vmlinux).map_err(ImagesError::io(vmlinux))?, name))
    }
}

/// Debian's packages carry a `System.map` that only says where the real one is.
fn is_real_map(path: &Path) -> bool {
    let names_text = |text: String| text.lines().any(|line| line.ends_with(" _text") || line.ends_with(" _stext"));
    fs::read_to_string(path).is_ok_and(names_text)
}

/// Where `make modules_install` and packages put the modules of an image in this folder: for `/boot` that is `/lib/modules/RELEASE`.
/// Some distributions keep the image there, too.
fn installed_modules(folder: &Path, release: &str) -> Option<PathBuf> {
    let root = folder.parent().unwrap_or(Path::new("/"));
    let below = ["lib/modules", "usr/lib/modules"].map(|modules| root.join(modules).join(release));
    let own = folder.ends_with(release).then(|| folder.to_owned());
    own.into_iter().chain(below).find(|folder| folder.join("kernel").is_dir())
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// Modules below `tree`: as `modules.order` lists them, else as they lie there.
fn find_modules(tree: &Path) -> Vec<PathBuf> {
    let order = fs::read_to_string(tree.join("modules.order")).unwrap_or_default();
    let listed = order.lines().map(|line| tree.join(line).with_extension("ko")).filter(|path| path.is_file());
    let mut modules: Vec<PathBuf> = listed.collect();
    if modules.is_empty() {
        collect_modules(tree, 12, &mut modules);
        modules.sort();
    }
    modules
}

fn collect_modules(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // Links would lead into the source tree, and from there anywhere.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => collect_modules(&path, depth - 1, found),
            Ok(kind) if kind.is_file() && is_module(&path) => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
