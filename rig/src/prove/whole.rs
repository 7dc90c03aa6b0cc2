//! A proof from its request to its report: for the command, for suites, and for whoever compares kernels.

use super::initial::initial;
use super::threads::SearchThreads;
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_interleave::image::ElfImage;
use rig_interleave::report::Report;
use rig_interleave::{Request, Unprovable};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A proof that was made.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The kernel's name for reports.
    pub(crate) kernel: String,
    /// Its ELF file, and what is in it.
    pub(crate) vmlinux: (PathBuf, Vec<u8>),
    /// What was found.
    pub(crate) report: Report,
    /// Host time of the search.
    pub(crate) seconds: f64,
}

/// Makes a proof about a kernel: a vmlinux or a build tree; none: the rig's own.
pub(crate) fn prove(
    request: Request,
    kernel: Option<&Path>,
    threads: Option<usize>,
    progress: &Progress,
) -> Result<Proof, Trouble> {
    let (name, file) = vmlinux(kernel, progress)?;
    let bytes = std::fs::read(&file).map_err(|error| Trouble::file("read", &file, &error))?;
    let elf = ElfImage::parse(&bytes).map_err(|error| Trouble::usage(error.to_string(), error.remedy()))?;
    let (image, firmware) = initial(elf, &request, kernel, progress)?;
    let begun = Instant::now();
    let step = progress.step(&format!("proof for {} CPUs", request.cpus), 0);
    let mut show = |at: rig_interleave::search::Progress| {
        step.at(at.states as u64, &format!("{} states, {} transitions, depth {}", at.states, at.transitions, at.depth));
    };
    let report = rig_interleave::prove(image, firmware, request, &SearchThreads::new(threads), &mut show);
    let report = report.map_err(|error| refused(&error))?;
    step.done();
    Ok(Proof { kernel: name, vmlinux: (file, bytes), report, seconds: begun.elapsed().as_secs_f64() })
}

/// The kernel's name for reports, and its ELF file with symbols.
fn vmlinux(kernel: Option<&Path>, progress: &Progress) -> Result<(String, PathBuf), Trouble> {
    let kernel = match kernel {
        Some(path) if path.is_file() => return Ok((path.display().to_string(), path.to_owned())),
        Some(path) if !path.exists() => return Err(Trouble::from(ImagesError::NoKernelImage(path.to_owned()))),
        Some(path) => Kernel::from_path(path)?,
        None => Images::open(progress.clone())?.kernel(&KernelRequest::default())?,
    };
    let release = format!("Linux {}", kernel.release);
    let none =
        || Trouble::usage("the kernel has no vmlinux", "give a vmlinux with --kernel, or a build tree that has one");
    kernel.vmlinux.map(|file| (release, file)).ok_or_else(none)
}

/// There is no verdict: that is neither a pass nor a failure of the kernel.
fn refused(error: &Unprovable) -> Trouble {
    Trouble::environment(format!("there is no verdict: {error}"), error.remedy())
}
