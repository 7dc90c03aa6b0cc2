//! What a proof says: a certificate if the rules hold, a counterexample if they do not.

use crate::contract::{Contract, Effect};
use crate::image::Source;
use crate::kernel::{Entry, LockProof};
use crate::local::Interpreter;
use crate::request::{MemoryModel, Request};
use crate::rules::Rule;
use crate::search;
use iced_x86::{Decoder, DecoderOptions};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No order that was asked about breaks a rule, and all were explored.
    Holds,
    /// At least one order breaks a rule.
    Refuted,
}

/// A certificate, or a counterexample.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Form of this file.
    pub form: u32,
    /// Version of the program.
    pub tool: String,
    /// What came out.
    pub verdict: Verdict,
    /// The shortest way to a broken rule.
    pub finding: Option<Counterexample>,
    /// SHA-256 of the kernel's image.
    pub image: String,
    /// SHA-256 of the instructions that were executed, each with its address.
    pub code: String,
    /// SHA-256 of initial memory: of the file and of what was filled in; or, of a machine, of the words that a CPU touched, each with
    /// its address, and of the registers. Addresses in a machine differ from boot to boot.
    pub initial_state: String,
    /// Which model answers SEAMCALLs.
    pub firmware: &'static str,
    /// What was asked for.
    pub request: Request,
    /// CPUs.
    pub cpus: usize,
    /// How memory orders accesses.
    pub memory_model: &'static str,
    /// Where the CPUs begin.
    pub entry: Entry,
    /// In which ways one SEAMCALL, whichever, may fail; empty: none fails.
    pub failures: Vec<&'static str>,
    /// What makes the exploration smaller, with the argument why nothing is missed.
    pub reductions: Vec<Reduction>,
    /// Functions that were called and not executed.
    pub contracts: Vec<Replaced>,
    /// What was judged.
    pub rules: Vec<Named>,
    /// What is taken for given, in words.
    pub assumptions: Vec<String>,
    /// States, up to the first that is wrong.
    pub states: usize,
    /// Operations from them.
    pub transitions: u64,
    /// Length of the longest of the shortest ways.
    pub depth: usize,
    /// States in which all CPUs have left.
    pub ends: usize,
    /// What the CPUs returned there.
    pub returns: Vec<Returned>,
    /// Private states of single CPUs.
    pub private_states: usize,
    /// Their transitions, each executed once.
    pub private_transitions: usize,
    /// What was explored of the spin lock, if its contract stands for it.
    pub lock: Option<LockProof>,
    /// Instructions that were executed for all of this.
    pub instructions_executed: u64,
    /// How often the exploration began again because a fact was refuted.
    pub restarts: usize,
    /// Peak of the memory of the search's tables, in bytes.
    pub table_bytes: usize,
    /// Words that more than one CPU touches and one writes.
    pub shared: Vec<String>,
    /// Which of each function's instructions were executed.
    pub coverage: Vec<Coverage>,
}

/// A broken rule.
#[derive(Clone, Debug, Serialize)]
pub struct Counterexample {
    /// Its name.
    pub rule: &'static str,
    /// What it demands.
    pub meaning: &'static str,
    /// Operations in order, and at the end where each CPU is.
    pub steps: Vec<String>,
    /// Why that breaks the rule, where the last step does not say so.
    pub note: Option<String>,
    /// The operations in order, with addresses.
    pub acts: Vec<search::Act>,
    /// What each CPU would do next; none if it has returned.
    pub next: Vec<Option<search::Act>>,
}

impl From<&search::Finding> for Counterexample {
    fn from(finding: &search::Finding) -> Self {
        let search::Finding { rule, acts, next, steps, note } = finding.clone();
        Self { rule: rule.name(), meaning: rule.meaning(), steps, note, acts, next }
    }
}

/// A name and what it means.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// All rules.
pub(crate) fn rules() -> Vec<Named> {
    Rule::ALL.iter().map(|rule| Named { name: rule.name(), meaning: rule.meaning() }).collect()
}

/// What makes an exploration smaller.
#[derive(Clone, Debug, Serialize)]
pub struct Reduction {
    /// What is done.
    pub name: &'static str,
    /// Why nothing is missed.
    pub argument: &'static str,
}

/// What this request's exploration uses.
pub(crate) fn reductions(request: &Request, changes: &[&'static str]) -> Vec<Reduction> {
    let mut all = vec![Reduction {
        name: "private runs are one step",
        argument: "between two operations on shared words or SEAMCALLs a CPU touches words that no other CPU touches, or that nobody writes; where that proves false the exploration begins again",
    }];
    if !request.keeps_dead {
        all.push(Reduction {
            name: "dead registers, flags and stack are dropped",
            argument: "they are written before they are read on every path that was executed; a path that was not seen begins the exploration again, and a read below the stack pointer ends it",
        });
        all.push(Reduction {
            name: "queue nodes of locks that are not in use are dropped",
            argument: "a read of one ends the exploration",
        });
    }
    if request.symmetry {
        all.push(Reduction {
            name: "states that differ by an exchange of CPUs are one",
            argument: "all CPUs but the lead are executed together, and do the same operation by operation; so exchanging two of them in a state exchanges them in all that follows",
        });
    }
    all.extend(
        changes.iter().map(|argument| Reduction { name: "the count of the lock's pending loop is 1", argument }),
    );
    all
}

/// A function that was called and not executed.
#[derive(Clone, Debug, Serialize)]
pub struct Replaced {
    /// Its name.
    pub function: &'static str,
    /// What stands for it.
    pub effect: String,
    /// Why that is enough.
    pub reason: &'static str,
}

impl From<&Contract> for Replaced {
    fn from(contract: &Contract) -> Self {
        let effect = match contract.effect {
            Effect::Returns(value) => format!("returns {value:#x}"),
            Effect::Forbidden => "breaks a rule".into(),
            Effect::Starts => "starts the section".into(),
        };
        Self { function: contract.function, effect, reason: contract.reason }
    }
}

/// What the CPUs returned, in some states.
#[derive(Clone, Debug, Serialize)]
pub struct Returned {
    /// By CPU.
    pub codes: Vec<i32>,
    /// In how many states.
    pub states: usize,
}

/// How much of a function was executed.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// The function.
    pub function: String,
    /// Its instructions that were executed.
    pub executed: usize,
    /// All of its instructions.
    pub instructions: usize,
}

/// How much of each function was executed, by name.
pub(crate) fn coverage<S: Source>(interpreter: &Interpreter<S>) -> Vec<Coverage> {
    let source = interpreter.memory.source();
    let mut by_function: BTreeMap<&str, usize> = BTreeMap::new();
    for address in interpreter.facts.executed() {
        if let Some((name, _)) = source.symbols().around(address)
            && interpreter.contracts.at(address).is_none()
        {
            *by_function.entry(name).or_default() += 1;
        }
    }
    let all = |name: &str| {
        let (start, size) = source.symbols().extent(name).ok()?;
        let code = source.gather(start, size as usize);
        Some(Decoder::with_ip(64, &code, start, DecoderOptions::NONE).iter().count())
    };
    let row = |(name, executed): (&str, usize)| Coverage {
        function: name.into(),
        executed,
        instructions: all(name).unwrap_or(executed),
    };
    by_function.into_iter().map(row).collect()
}

/// SHA-256 of instructions, each with its address.
pub(crate) fn digest_of_code(code: &BTreeMap<u64, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (address, bytes) in code {
        hash.update(address.to_le_bytes());
        hash.update([bytes.len() as u8]);
        hash.update(bytes);
    }
    hex::encode(hash.finalize())
}

/// SHA-256 of where the CPUs of a machine begin: the words that they touched, each with its address, and their registers.
pub(crate) fn digest_of_start<S: Source>(interpreter: &Interpreter<S>, section: &search::Section) -> String {
    let mut hash = Sha256::new();
    for word in interpreter.facts.touched() {
        hash.update(word.to_le_bytes());
        hash.update(interpreter.memory.word(word).unwrap_or(0).to_le_bytes());
    }
    for vcpu in section.starts.iter().flatten() {
        for register in vcpu.registers.gpr.iter().chain([&vcpu.registers.rip]) {
            hash.update(register.to_le_bytes());
        }
        hash.update([vcpu.registers.flags]);
    }
    hex::encode(hash.finalize())
}

/// What holds for every proof.
const GENERAL: [&str; 4] = [
    "the interpreter of instructions is right; tests compare it with a processor and with QEMU (docs/proofs.md)",
    "no interrupt, NMI, machine check or hotplug comes in the section",
    "SEAMCALL changes RAX, RDX and R8 of a read, and flags, and no other register",
    "no two of the explored states have one 128-bit fingerprint",
];

/// What is taken for given in a proof of this kind.
pub(crate) fn general(request: &Request, lock: Option<&LockProof>) -> Vec<String> {
    let memory = match request.memory {
        MemoryModel::SequentiallyConsistent => {
            "memory is sequentially consistent: what store buffers of real processors make possible besides is not explored"
        }
        MemoryModel::Tso => {
            "memory is x86-TSO: stores become visible one after another, in the order of their CPU, and to all others at once; locked instructions and SEAMCALL wait for that"
        }
    };
    let before = if request.after_failed {
        "one update, in a machine in which TDH.SYS.SHUTDOWN of the one before failed, which left the old module running"
    } else {
        "one update, from a state in which no other failed before"
    };
    let mut all: Vec<String> = GENERAL.into_iter().chain([memory, before]).map(String::from).collect();
    if let Some(LockProof { cpus, rounds, .. }) = lock {
        let more = if *cpus < request.cpus { format!(", and is assumed for {}", request.cpus) } else { String::new() };
        all.push(format!(
            "a spin lock keeps its contract, by which who takes it waits until it is free: that was explored on the lock's own code for {cpus} CPUs that each take one lock {rounds} times{more}"
        ));
    }
    all
}
