//! `rig prove`

use super::output;
use super::prove_text::{self, Refuted};
use super::replay::fresh;
use crate::explore::evidence::{SCENARIO, write_scenario};
use crate::prove::{Certificate, ObservedKernel, Proof, differences, judge, prove, scenario};
use crate::scenario::Scenario;
use crate::symbols::{Symbols, observe_update};
use crate::trouble::{Exit, Trouble};
use crate::whole_file;
use rig_images::Progress;
use rig_interleave::kernel::{Entry, Locking, Subject};
use rig_interleave::report::{Counterexample, Report, Verdict};
use rig_interleave::{Answers, InitialState, MemoryModel, Request};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig prove --cpus 3                   the rig's own kernel, no failure
  cargo rig prove --cpus 2 --failures 1      and one SEAMCALL may fail, whichever
  cargo rig prove --cpus 2 --memory tso      with the processors' store buffers
  cargo rig prove --cpus 5 --lock contract   more CPUs, with the contract of spin locks
  cargo rig prove --kernel ~/linux           a kernel's build tree, or its vmlinux
  cargo rig prove --subject kmod --ack atomic    the update kernel module
  cargo rig prove --after-failed             the second update, after one that failed
  cargo rig prove --state elf                from the kernel's file, without a machine
  cargo rig prove --from stop-machine        from multi_cpu_stop(), where CPUs still gather
  cargo rig prove --check certificate.json   the same proof again, and a comparison

Exit codes: 0 every order was explored and no rule breaks, 1 an order breaks a rule, or a certificate
says otherwise, 2 usage, 5 there is no verdict: something that the proof does not know, or too little
memory.";

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// The code under test
    #[arg(long, value_enum, default_value = "in-tree")]
    subject: Tested,
    /// How the subject `kmod` acknowledges a step
    #[arg(long, value_enum, default_value = "lock")]
    ack: Acknowledges,
    /// Where the initial state comes from [default: machine; elf for a vmlinux alone]
    #[arg(long, value_enum)]
    state: Option<State>,
    /// What answers SEAMCALLs [default: seam-emu; small for --state elf or --symmetry]
    #[arg(long, value_enum)]
    firmware: Option<Firmware>,
    /// Begin in the second update of a machine whose first one failed
    #[arg(long)]
    after_failed: bool,
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
    #[arg(long, value_name = "CERTIFICATE", conflicts_with_all = ["cpus", "subject", "ack", "state", "firmware", "after_failed", "failures", "from", "memory", "lock", "symmetry", "keep_dead"])]
    check: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// See [`Subject`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tested {
    /// Linux's own update
    InTree,
    /// The update kernel module, guest-kmod/
    Kmod,
}

/// See [`Subject`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Acknowledges {
    /// Counters under a raw spinlock
    Lock,
    /// Atomic counters
    Atomic,
}

/// See [`InitialState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum State {
    /// A machine of the rig that is stopped where every CPU is about to enter the section
    Machine,
    /// The kernel's ELF file, with what a boot sets filled in
    Elf,
}

/// See [`Answers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Firmware {
    /// A model of the update's calls alone
    Small,
    /// The firmware of the machine, in its state
    SeamEmu,
    /// seam-emu, compared with the small model at each answer
    Both,
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
    /// seam-emu needs a machine's state, and knows no exchange of CPUs.
    fn answers(&self, state: State) -> Result<Answers, Trouble> {
        let is_small = state == State::Elf || self.symmetry;
        match self.firmware {
            None if is_small => Ok(Answers::Small),
            Some(Firmware::Small) => Ok(Answers::Small),
            Some(_) if is_small => {
                let what = "seam-emu answers only from a machine's state (not --state elf), and without --symmetry";
                Err(Trouble::usage(what, "leave --firmware out"))
            }
            None | Some(Firmware::SeamEmu) => Ok(Answers::Emulated),
            Some(Firmware::Both) => Ok(Answers::Both),
        }
    }

    /// What is asked for; it must be possible.
    fn request(&self) -> Result<Request, Trouble> {
        // A vmlinux alone does not boot.
        let is_file = self.kernel.as_ref().is_some_and(|path| path.is_file());
        let state = self.state.unwrap_or(if is_file { State::Elf } else { State::Machine });
        let help = "give a build tree with --kernel, or leave --state out";
        if is_file && state == State::Machine {
            return Err(Trouble::usage("a vmlinux alone does not boot, so no machine can be stopped", help));
        }
        let subject = match (self.subject, self.ack) {
            (Tested::InTree, _) => Subject::InTree,
            (Tested::Kmod, Acknowledges::Lock) => Subject::KmodLock,
            (Tested::Kmod, Acknowledges::Atomic) => Subject::KmodAtomic,
        };
        if state == State::Elf && (subject != Subject::InTree || self.after_failed) {
            let what = "neither the update module nor an earlier update is in the kernel's ELF file";
            return Err(Trouble::usage(what, help));
        }
        Ok(Request {
            cpus: self.cpus.into(),
            subject,
            state: if state == State::Elf { InitialState::Elf } else { InitialState::Machine },
            firmware: self.answers(state)?,
            after_failed: self.after_failed,
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
        })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let certificate = arguments.check.as_deref().map(Certificate::read).transpose()?;
    let request = certificate.as_ref().map_or_else(|| arguments.request(), |certificate| Ok(certificate.request))?;
    let request = Request { memory_mib: arguments.memory_mib, ..request };
    let progress = if arguments.json { Progress::silent() } else { Progress::stderr() };
    let proof = prove(request, arguments.kernel.as_deref(), arguments.threads, &progress)?;
    let Proof { kernel: name, vmlinux: (file, bytes), report, seconds } = proof;
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
        whole_file::replace(path, text.as_bytes())?;
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

/// Writes the scenario of a counterexample, and asks the judge.
fn refute(found: &Counterexample, report: &Report, vmlinux: &[u8], arguments: &Arguments) -> Result<Refuted, Trouble> {
    let not = |why: &str| Refuted { scenario: None, not_replayed: Some(why.to_owned()), judgement: None };
    if report.request.subject != Subject::InTree {
        return Ok(not("scenarios have no names for places in the update module"));
    }
    let bad = |error: object::Error| {
        Trouble::usage(format!("the kernel's symbols cannot be read: {error}"), "give a vmlinux")
    };
    let symbols = Symbols::from_vmlinux(vmlinux).map_err(bad)?;
    let Ok(seen) = observe_update(&symbols) else {
        return Ok(not("the rig does not know this kernel's update"));
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
            let path = match &arguments.scenario {
                Some(path) => path.clone(),
                None => fresh(None, "prove")?.join(SCENARIO),
            };
            write_scenario(&path, &Scenario { kernel, ..scenario })?;
            Ok(Refuted { scenario: Some(path), not_replayed: None, judgement })
        }
    }
}
