//! A proof from a kernel's image to its report.

use crate::error::Unprovable;
use crate::firmware::{Failure, Firmware, Small};
use crate::image::{ElfImage, Source};
use crate::kernel::{Prepared, Setting, prepare};
use crate::report::{self, Report, Verdict};
use crate::request::Request;
use crate::search::{Explored, Explorer, Options, Progress};

/// Explores every order of the CPUs' operations; `progress` is called now and then.
///
/// It is no generic function, so that all of the search is compiled with this crate's optimisation and not with its caller's.
pub fn prove(image: ElfImage, request: Request, progress: &mut dyn FnMut(Progress)) -> Result<Report, Unprovable> {
    prove_from(image, request, progress)
}

fn prove_from<S: Source>(
    source: S,
    request: Request,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Unprovable> {
    let Request { cpus, entry, keeps_dead, keeps_pending_loop, .. } = request;
    assert!((1..=8).contains(&cpus), "a caller's bound");
    let image = source.digest().to_owned();
    let setting = Setting { cpus, entry, keeps_dead, keeps_pending_loop };
    let mut prepared = prepare(source, setting)?;
    let firmware = Small;
    let Prepared { interpreter, section, .. } = &mut prepared;
    let options = Options { failures: request.failures, keeps_dead, memory_mib: request.memory_mib };
    let mut explorer = Explorer::new(interpreter, &firmware, section, options);
    let result = explorer.explore(progress)?;
    let private = (explorer.locals().len(), explorer.locals().transitions());
    let shared = explorer.shared().to_vec();
    Ok(written(&request, image, &prepared, &result, private, &shared, firmware))
}

fn written<S: Source>(
    request: &Request,
    image: String,
    prepared: &Prepared<S>,
    explored: &Explored,
    (private_states, private_transitions): (usize, usize),
    shared: &[u64],
    firmware: Small,
) -> Report {
    let interpreter = &prepared.interpreter;
    let symbols = interpreter.memory.source().symbols();
    let mut assumptions = prepared.assumptions.clone();
    assumptions.extend(firmware.assumptions());
    assumptions.extend(report::GENERAL.map(String::from));
    Report {
        form: 1,
        tool: env!("CARGO_PKG_VERSION").into(),
        verdict: if explored.finding.is_some() { Verdict::Refuted } else { Verdict::Holds },
        finding: explored.finding.as_ref().map(report::Counterexample::from),
        image,
        code: report::digest_of_code(&interpreter.code()),
        initial_state: prepared.digest.clone(),
        cpus: request.cpus,
        memory_model: "sequentially-consistent",
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
        private_states,
        private_transitions,
        instructions_executed: interpreter.executed(),
        restarts: interpreter.facts.restarts(),
        table_bytes: explored.bytes,
        shared: shared.iter().map(|word| symbols.name(*word)).collect(),
        coverage: report::coverage(interpreter),
    }
}
