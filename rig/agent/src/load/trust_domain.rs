//! Scripted trust domains that run, or are being built, while the TDX module is updated.

use super::tally::Tally;
use super::work::{Last, Step, Work};
use crate::scripted::{Counts, Module, Td, Vcpu};
use crate::{cpu, failure, modules};
use nix::errno::Errno;
use rig_wire::agent::{Failure, Load, MAX_TD_VCPUS, SCRIPT_GPA, TdStage};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const MODULE: &str = "tdx_raw";
/// Pages that a TD in the building can get: what the first secure EPT table has left behind the scripts.
const MORE_PAGES: u64 = 256 - MAX_TD_VCPUS as u64;
/// Pause between two of them.
const BUILD_PAUSE: Duration = Duration::from_millis(2);
/// Pause after an entry that failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(5);
/// Rounds of each virtual CPU of a TD that is finished at the end.
const ROUNDS_AT_END: u32 = 3;

/// A TD's virtual CPUs, which threads share with the end.
type Vcpus = Vec<Arc<Mutex<Vcpu>>>;

/// Builds the TDs; one thread runs each virtual CPU, or adds pages to each TD.
pub(super) fn work(load: &Load) -> Result<Work, Failure> {
    let Load::TrustDomain { tds, vcpus, moves_after, stage, scripts } = load else {
        return Err(failure::refused(libc::EINVAL, "no load of trust domains"));
    };
    let wanted = u64::from(*tds) * u64::from(*vcpus);
    if wanted == 0 || *vcpus > MAX_TD_VCPUS || scripts.len() as u64 != wanted {
        let why = format!("{tds} TDs of {vcpus} virtual CPUs with {} scripts: it takes one each", scripts.len());
        return Err(failure::refused(libc::EINVAL, why));
    }
    match modules::load(MODULE, "") {
        Err(failure) if failure.errno != Some(Errno::EEXIST as i32) => return Err(failure),
        _ => {}
    }
    // What cannot be undone is left to the kernel module, which keeps what the TDX module has.
    let refused = |why: String| failure::refused(libc::EIO, why);
    let module = Arc::new(Module::open().map_err(refused)?);
    let build = |scripts: &[Vec<u8>]| build(&module, *vcpus, scripts);
    let tds: Vec<Td> = scripts.chunks(*vcpus as usize).map(build).collect::<Result<_, _>>().map_err(refused)?;
    let (vcpus, moves_after) = (*vcpus, *moves_after);
    match stage {
        TdStage::Running => {
            tds.iter().try_for_each(Td::finalize).map_err(refused)?;
            Ok(running(module, tds, vcpus, moves_after))
        }
        TdStage::Building => Ok(building(module, tds, vcpus)),
    }
}

fn build(module: &Arc<Module>, vcpus: u32, scripts: &[Vec<u8>]) -> Result<Td, String> {
    let mut td = Td::create(module, vcpus)?;
    td.load(scripts)?;
    Ok(td)
}

/// Virtual CPUs that run from now on. Neighbours begin on different CPUs.
fn running(module: Arc<Module>, tds: Vec<Td>, vcpus: u32, moves_after: u32) -> Work {
    let all = vcpus_of(tds, vcpus, moves_after);
    let steps = all.iter().map(|vcpu| -> Step {
        let vcpu = Arc::clone(vcpu);
        // After a failure not at full speed: what failed once, as without a module, fails again.
        Box::new(move || lock(&vcpu).run().map(|()| 1).inspect_err(|_| thread::sleep(FAILURE_PAUSE)))
    });
    let steps = steps.collect();
    Work { steps, finish: Some(Box::new(move |tally| end(&module, all, 1, tally))) }
}

/// TDs that get pages as long as there is room, and are finished at the end.
fn building(module: Arc<Module>, tds: Vec<Td>, vcpus: u32) -> Work {
    let tds: Vec<Arc<Td>> = tds.into_iter().map(Arc::new).collect();
    let step = |td: &Arc<Td>| -> Step {
        let (td, mut added) = (Arc::clone(td), 0);
        Box::new(move || add_page(&td, &mut added))
    };
    let steps = tds.iter().map(step).collect();
    let finish = move |tally: &Tally| {
        let tds: Vec<Td> = tds.into_iter().map(alone).collect();
        for td in &tds {
            tally.count(td.finalize().map(|()| 0));
        }
        end(&module, vcpus_of(tds, vcpus, 0), ROUNDS_AT_END, tally)
    };
    Work { steps, finish: Some(Box::new(finish)) }
}

/// One page, measured, is one operation.
fn add_page(td: &Td, added: &mut u64) -> Result<u64, String> {
    thread::sleep(BUILD_PAUSE);
    if *added == MORE_PAGES {
        return Ok(0);
    }
    let cpus = td.cpus();
    let cpu = cpus[*added as usize % cpus.len()];
    cpu::bind(cpu)?;
    let gpa = SCRIPT_GPA + (u64::from(MAX_TD_VCPUS) + *added) * 4096;
    td.add_page(cpu, gpa, &added.to_le_bytes())?;
    *added += 1;
    Ok(1)
}

fn vcpus_of(tds: Vec<Td>, vcpus: u32, moves_after: u32) -> Vcpus {
    let tds = tds.into_iter().map(Arc::new).enumerate();
    let one = |(number, td): (usize, Arc<Td>)| {
        (0..vcpus).map(move |vcpu| {
            let start = number * vcpus as usize + vcpu as usize;
            Arc::new(Mutex::new(Vcpu::new(&td, number as u32, vcpu, start, moves_after)))
        })
    };
    tds.flat_map(one).collect()
}

/// Every virtual CPU runs some rounds more, after the last update; then all TDs end.
fn end(module: &Arc<Module>, all: Vcpus, rounds: u32, tally: &Tally) -> Last {
    let mut last = Last::default();
    let mut sum = Counts::default();
    let mut tds: Vec<Arc<Td>> = Vec::new();
    for vcpu in all {
        let mut vcpu = lock(&vcpu);
        let more = (0..rounds).try_for_each(|_| vcpu.run_a_round()).and_then(|()| vcpu.flush());
        tally.count(more.map(|()| 0));
        sum.add(vcpu.counts());
        last.chains.push(vcpu.chain().clone());
        if !tds.iter().any(|td| Arc::ptr_eq(td, vcpu.td())) {
            tds.push(Arc::clone(vcpu.td()));
        }
    }
    for td in tds.into_iter().map(alone) {
        tally.count(td.end().map(|()| 0));
    }
    last.counts = counts(module, sum, &last);
    last
}

/// The TD, which has no other owner any more.
fn alone(td: Arc<Td>) -> Td {
    Arc::into_inner(td).expect("threads and virtual CPUs are gone")
}

fn counts(module: &Module, sum: Counts, last: &Last) -> Vec<(String, u64)> {
    let rounds = last.chains.iter().map(|chain| chain.rounds).sum();
    let named = [
        ("entries", sum.entries),
        ("rounds", rounds),
        ("slices", sum.slices),
        ("halts", sum.halts),
        ("faults", sum.faults),
        ("moves", sum.moves),
        ("made_again", module.made_again()),
    ];
    named.map(|(name, count)| (name.to_owned(), count)).into()
}

fn lock(vcpu: &Mutex<Vcpu>) -> std::sync::MutexGuard<'_, Vcpu> {
    vcpu.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(tds: u32, vcpus: u32, scripts: usize) -> Load {
        let scripts = vec![Vec::new(); scripts];
        Load::TrustDomain { tds, vcpus, moves_after: 1, stage: TdStage::Running, scripts }
    }

    #[test]
    fn cannot_run_without_a_script_for_each_virtual_cpu() {
        for load in [load(0, 1, 0), load(1, 0, 0), load(2, 2, 3), load(1, MAX_TD_VCPUS + 1, 65)] {
            assert_eq!(work(&load).err().and_then(|failure| failure.errno), Some(libc::EINVAL), "{load:?}");
        }
    }
}
