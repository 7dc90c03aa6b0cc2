//! `rig prove`

use super::output;
use super::prove_text::{self, Refuted};
use super::replay::fresh;
use crate::prove::{Certificate, ObservedKernel, SearchThreads, differences, judge, scenario, write};
use crate::scenario::Scenario;
use crate::symbols::{Symbols, observe_update};
use crate::trouble::{Exit, Trouble};
use rig_images::{Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_interleave::image::ElfImage;
use rig_interleave::kernel::{Entry, Locking};
use rig_interleave::report::{Counterexample, Report, Verdict};
use rig_interleave::{MemoryModel, Request, Unprovable};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig prove --cpus 3                   the rig's own kernel, no failure
  cargo rig prove --cpus 2 --failures 1      and one SEAMCALL may fail, whichever
  cargo rig prove --cpus 2 --memory tso      with the processors' store buffers
  cargo rig prove --cpus 5 --lock contract   more CPUs, with the contract of spin locks
  cargo rig prove --kernel ~/linux           a kernel's build tree, or its vmlinux
  cargo rig prove --from stop-machine        from multi_cpu_stop(), where CPUs still gather
  cargo rig prove --check certificate.json   the same proof again, and a comparison

Exit codes: 0 every order was explored and no rule breaks, 1 an order breaks a rule, or a certificate
says otherwise, 2 usage, 5 there is no verdict: something that the proof does not know, or too little
memory.";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// CPUs, 1 to 8; from 5 on more memory is needed than most machines have, unless --lock and --symmetry make it less
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    cpus: u8,
    /// A kernel of your own: a vmlinux, or a build tree that has one
    #[arg(long, value_name = "FILE|TREE")]
    kernel: Option<PathBuf>,
    /// How many SEAMCALLs may fail, each in three ways, on any CPU
    #[arg(long, default_value_t = 0, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    failures: u8,
    /// Where the CPUs begin
    #[arg(long, value_enum, default_value = "section")]
    from: From,
    /// How memory orders accesses
    #[arg(long, value_enum, default_value = "sc")]
    memory: Memory,
    /// What stands for spin locks
    #[arg(long, value_enum, default_value = "real")]
    lock: Lock,
    /// Take states that differ by an exchange of CPUs, the lead left out, as one; needs --lock contract, and not with --memory tso
    #[arg(long)]
    symmetry: bool,
    /// Threads of the search; the result does not depend on it [default: as many as CPUs]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Memory that the search may use, MiB
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    memory_mib: usize,
    /// Debugging: keep dead registers, stack and queue nodes in the state; more states, and the same verdict
    #[arg(long)]
    keep_dead: bool,
    /// Write the certificate or counterexample to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the scenario of a counterexample to this file [default: in a folder of runs/]
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Make the proof of this certificate again, and compare
    #[arg(long, value_name = "CERTIFICATE", conflicts_with_all = ["cpus", "failures", "from", "memory", "lock", "symmetry", "keep_dead"])]
    check: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// See [`Entry`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// The function that the uploader gives to `stop_machine`, with interrupts disabled
    Section,
    /// `multi_cpu_stop()`, where the CPUs gather and disable interrupts
    StopMachine,
}

/// See [`MemoryModel`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Memory {
    /// Sequentially consistent: a store is visible at once
    Sc,
    /// x86-TSO: each CPU has a store buffer
    Tso,
}

/// See [`Locking`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Lock {
    /// Their own code
    Real,
    /// Their contract: who takes one waits until it is free
    Contract,
}

impl Arguments {
    fn request(&self) -> Request {
        Request {
            cpus: self.cpus.into(),
            failures: self.failures > 0,
            entry: match self.from {
                From::Section => Entry::Section,
                From::StopMachine => Entry::StopMachine,
            },
            memory: match self.memory {
                Memory::Sc => MemoryModel::SequentiallyConsistent,
                Memory::Tso => MemoryModel::Tso,
            },
            lock: match self.lock {
                Lock::Real => Locking::Real,
                Lock::Contract => Locking::Contract,
            },
            symmetry: self.symmetry,
            keeps_dead: self.keep_dead,
            ..Request::default()
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let certificate = arguments.check.as_deref().map(Certificate::read).transpose()?;
    let request = certificate.as_ref().map_or_else(|| arguments.request(), |certificate| certificate.request);
    let request = Request { memory_mib: arguments.memory_mib, ..request };
    let progress = if arguments.json { Progress::silent() } else { Progress::stderr() };
    let (name, file) = vmlinux(arguments, &progress)?;
    let bytes = std::fs::read(&file).map_err(|error| Trouble::file("read", &file, &error))?;
    let image = ElfImage::parse(&bytes).map_err(|error| Trouble::usage(error.to_string(), error.remedy()))?;
    let begun = Instant::now();
    let report = search(image, request, arguments.threads, &progress)?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
        write(path, &text)?;
    }
    let counterexample = report.finding.as_ref().map(|found| refute(found, &report, &bytes, arguments)).transpose()?;
    let differing = certificate.map(|certificate| differences(&certificate, &report));
    let holds = report.verdict == Verdict::Holds && differing.as_ref().is_none_or(Vec::is_empty);
    let exit = if holds { Exit::Passed } else { Exit::Failed } as u8;
    if arguments.json {
        let (replay, judge, not) =
            counterexample.map_or((None, None, None), |c| (c.scenario, c.judgement, c.not_replayed));
        output::json(&serde_json::json!({
            "exit_code": exit, "kernel": { "name": name, "vmlinux": file }, "seconds": seconds, "report": report,
            "scenario": replay, "judge": judge, "not_replayed": not, "differences": differing,
        }));
    } else {
        output::text_line(&prove_text::text(&report, &name, seconds, counterexample.as_ref(), differing.as_deref()));
    }
    Ok(exit)
}

fn search(image: ElfImage, request: Request, threads: Option<usize>, progress: &Progress) -> Result<Report, Trouble> {
    let step = progress.step(&format!("proof for {} CPUs", request.cpus), 0);
    let mut show = |at: rig_interleave::search::Progress| {
        step.at(at.states as u64, &format!("{} states, {} transitions, depth {}", at.states, at.transitions, at.depth));
    };
    let report = rig_interleave::prove(image, request, &SearchThreads::new(threads), &mut show);
    let report = report.map_err(|error| refused(&error))?;
    step.done();
    Ok(report)
}

/// Writes the scenario of a counterexample, and asks the judge.
fn refute(found: &Counterexample, report: &Report, vmlinux: &[u8], arguments: &Arguments) -> Result<Refuted, Trouble> {
    let bad = |error: object::Error| {
        Trouble::usage(format!("the kernel's symbols cannot be read: {error}"), "give a vmlinux")
    };
    let symbols = Symbols::from_vmlinux(vmlinux).map_err(bad)?;
    let Ok(seen) = observe_update(&symbols) else {
        let why = "the rig does not know this kernel's update".to_owned();
        return Ok(Refuted { scenario: None, not_replayed: Some(why), judgement: None });
    };
    let observed = ObservedKernel { symbols, seen };
    let is_sequential = report.request.memory == MemoryModel::SequentiallyConsistent;
    let judgement = is_sequential.then(|| judge(found, report.cpus, &observed));
    match scenario(found, report.cpus, &observed) {
        Err(why) => Ok(Refuted { scenario: None, not_replayed: Some(why), judgement }),
        Ok(scenario) => {
            // A build tree or an image is a scenario's kernel; a vmlinux alone does not boot.
            let kernel = arguments.kernel.as_ref().filter(|path| path.is_dir());
            let kernel = kernel.map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
            let path = write_scenario(arguments.scenario.as_deref(), &Scenario { kernel, ..scenario })?;
            Ok(Refuted { scenario: Some(path), not_replayed: None, judgement })
        }
    }
}

fn write_scenario(asked: Option<&Path>, scenario: &Scenario) -> Result<PathBuf, Trouble> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => fresh(None, "prove")?.join("scenario.toml"),
    };
    write(&path, &toml::to_string_pretty(scenario).expect("a scenario is plain data"))?;
    Ok(path)
}

/// The kernel's name for reports, and its ELF file with symbols.
fn vmlinux(arguments: &Arguments, progress: &Progress) -> Result<(String, PathBuf), Trouble> {
    let kernel = match &arguments.kernel {
        Some(path) if path.is_file() => return Ok((path.display().to_string(), path.clone())),
        Some(path) if !path.exists() => return Err(Trouble::from(ImagesError::NoKernelImage(path.clone()))),
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
