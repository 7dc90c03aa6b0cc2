//! Kernels with a mutant in them: what the compiler made of each is kept, so that it is compiled and linked once.

use super::key::of_kernel;
use super::{Mutant, target};
use crate::fingerprint::hash;
use crate::trouble::Trouble;
use rig_images::{Compiled, Images, Workbench};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds mutants into a folder.
#[derive(Debug)]
pub(super) struct Builder<'i> {
    images: &'i Images,
    /// Made when the first mutant must be compiled.
    workbench: Option<Workbench>,
    folder: PathBuf,
    /// Hash of the unmodified kernel's image.
    kernel: String,
}

/// Name of the file with the hash of the object in it.
const OBJECT: &str = "object";

impl<'i> Builder<'i> {
    pub(super) fn new(images: &'i Images, folder: PathBuf) -> Result<Self, Trouble> {
        Ok(Self { images, workbench: None, folder, kernel: of_kernel(images)? })
    }

    /// What the compiler makes of a file with this text.
    pub(super) fn compile(&mut self, file: &str, text: &str) -> Result<Compiled, Trouble> {
        let kept = self.folder.join(format!("{}.{OBJECT}", &self.name(file, text)));
        if let Ok(hash) = fs::read_to_string(&kept) {
            return Ok(Compiled::Object(hash));
        }
        let compiled = self.workbench()?.compile(file, text)?;
        if let Compiled::Object(hash) = &compiled {
            publish(&self.folder, &kept, |path| fs::write(path, hash).map_err(|e| Trouble::file("write", path, &e)))?;
        }
        Ok(compiled)
    }

    /// The tree of the kernel with this mutant.
    pub(super) fn link(&mut self, mutant: &Mutant) -> Result<PathBuf, Trouble> {
        let kept = self.folder.join(self.name(&mutant.file, &mutant.source));
        if !kept.is_dir() {
            let folder = self.folder.clone();
            let workbench = self.workbench()?;
            // The object may have been known, and the tree may hold another one.
            workbench.compile(&mutant.file, &mutant.source)?;
            publish(&folder, &kept, |path| Ok(workbench.link(path)?))?;
        }
        Ok(kept)
    }

    fn name(&self, file: &str, text: &str) -> String {
        hash(&[&self.kernel, file, text])[..16].to_owned()
    }

    fn workbench(&mut self) -> Result<&mut Workbench, Trouble> {
        if self.workbench.is_none() {
            self.workbench = Some(self.images.workbench(&target::files())?);
        }
        Ok(self.workbench.as_mut().expect("it was made"))
    }
}

/// Has something made beside its place and moves it there, so that what has its name is whole.
fn publish(folder: &Path, to: &Path, make: impl FnOnce(&Path) -> Result<(), Trouble>) -> Result<(), Trouble> {
    let half = folder.join("half-made");
    let _ = fs::remove_dir_all(&half).or_else(|_| fs::remove_file(&half));
    fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
    make(&half)?;
    fs::rename(&half, to).map_err(|e| Trouble::file("make", to, &e))
}
