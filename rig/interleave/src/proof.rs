//! A proof from a kernel's image to its report.

use crate::error::Unprovable;
use crate::firmware::{Failure, Firmware, FirmwareModel, Paired, Small};
use crate::image::{InitialImage, Source};
use crate::kernel::{LockProof, Locking, Prepared, Setting, prepare, prove_lock};
use crate::report::{self, Report, Verdict};
use crate::request::{InitialState, MemoryModel, Request};
use crate::search::{Explored, Explorer, Options, Progress, Workers};

/// Explores every order of the CPUs' operations; `progress` is called now and then.
///
/// It is no generic function, so that all of the search is compiled with this crate's optimisation and not with its caller's.
pub fn prove(
    image: InitialImage,
    firmware: FirmwareModel,
    request: Request,
    workers: &dyn Workers,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Unprovable> {
    match firmware {
        FirmwareModel::Small => prove_from(image, &Small, request, workers, progress),
        FirmwareModel::Emulated { emulated, compares } => {
            prove_from(image, &Paired { emulated: *emulated, compares }, request, workers, progress)
        }
    }
}

fn prove_from<S: Source + Clone, F: Firmware>(
    source: S,
    firmware: &F,
    request: Request,
    workers: &dyn Workers,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Unprovable> {
    let Request { cpus, subject, entry, lock, keeps_dead, keeps_pending_loop, .. } = request;
    let store_buffers = request.memory == MemoryModel::Tso;
    assert!((1..=8).contains(&cpus), "a caller's bound");
    assert_eq!(request.state == InitialState::Machine, !source.cpus().is_empty(), "the image is what is asked for");
    let image = source.digest().to_owned();
    let setting = Setting { cpus, subject, entry, store_buffers, lock, keeps_dead, keeps_pending_loop };
    let lock = match lock {
        Locking::Real => None,
        Locking::Contract => Some(prove_lock(source.clone(), &request, workers, progress)?),
    };
    let mut prepared = prepare(source, setting)?;
    let Prepared { interpreter, section, .. } = &mut prepared;
    let Request { failures, symmetry, memory_mib, .. } = request;
    let options = Options { failures, keeps_dead, symmetry, memory_mib };
    let mut explorer = Explorer::new(interpreter, firmware, section, options);
    let result = explorer.explore(workers, progress)?;
    let private = (explorer.locals().len(), explorer.locals().transitions());
    let shared = explorer.shared().to_vec();
    let found = Found { explored: result, lock, private, shared };
    Ok(written(&request, image, &prepared, &found, firmware))
}

/// What the search came to.
struct Found {
    explored: Explored,
    lock: Option<LockProof>,
    /// Private states, and their transitions.
    private: (usize, usize),
    shared: Vec<u64>,
}

fn written<S: Source, F: Firmware>(
    request: &Request,
    image: String,
    prepared: &Prepared<S>,
    found: &Found,
    firmware: &F,
) -> Report {
    let Found { explored, lock, private: (private_states, private_transitions), shared } = found;
    let interpreter = &prepared.interpreter;
    let symbols = interpreter.memory.source().symbols();
    let mut assumptions = prepared.assumptions.clone();
    assumptions.extend(firmware.assumptions());
    assumptions.extend(report::general(request, lock.as_ref()));
    Report {
        form: 1,
        tool: env!("CARGO_PKG_VERSION").into(),
        verdict: if explored.finding.is_some() { Verdict::Refuted } else { Verdict::Holds },
        finding: explored.finding.as_ref().map(report::Counterexample::from),
        image,
        code: report::digest_of_code(&interpreter.code()),
        firmware: firmware.name(),
        initial_state: match request.state {
            InitialState::Elf => prepared.digest.clone(),
            InitialState::Machine => report::digest_of_start(interpreter, &prepared.section),
        },
        request: *request,
        cpus: request.cpus,
        memory_model: request.memory.name(),
        entry: request.entry,
        failures: if request.failures { Failure::ALL.map(Failure::name).to_vec() } else { Vec::new() },
        reductions: report::reductions(request, &prepared.changes),
        contracts: interpreter.used().map(report::Replaced::from).collect(),
        rules: report::rules(),
        assumptions,
        states: explored.states,
        transitions: explored.transitions,
        depth: explored.depth,
        ends: explored.ends,
        returns: explored
            .returns
            .iter()
            .map(|(codes, states)| report::Returned { codes: codes.clone(), states: *states })
            .collect(),
        private_states: *private_states,
        private_transitions: *private_transitions,
        lock: *lock,
        instructions_executed: interpreter.executed(),
        restarts: interpreter.facts.restarts(),
        table_bytes: explored.bytes,
        shared: shared.iter().map(|word| symbols.name(*word)).collect(),
        coverage: report::coverage(interpreter),
    }
}
