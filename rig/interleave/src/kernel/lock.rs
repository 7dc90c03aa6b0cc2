//! The spin lock by itself: CPUs that take it, look whether they are alone, and release it, on its own code.
//!
//! With the lock's contract (`Locking::Contract`) a proof about an update replaces what a CPU does between its first try to take a
//! lock and the moment in which it has it by "it waits". `docs/proofs.md` has the argument. What the argument needs of the lock's
//! code is what is explored here: two CPUs are never between taking and releasing it at once, and from every state all
//! CPUs can come to their end.

use super::entry::prepare;
use super::setting::{Locking, Setting};
use crate::contract::HEAP;
use crate::error::Unprovable;
use crate::firmware::Small;
use crate::image::Source;
use crate::request::Request;
use crate::search::{Explorer, Options, Progress, Section, Workers};
use serde::Serialize;

/// The lock, and a word that says whether somebody has it.
const LOCK: u64 = HEAP + 0x4_0000;
const OWNER: u64 = LOCK + 0x40;
/// Where the CPUs' code lies, where no code of the kernel is.
const CODE: u64 = 0xffff_ffff_fe00_0000;

/// What was explored of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LockProof {
    /// CPUs.
    pub cpus: usize,
    /// How often each takes the lock.
    pub rounds: usize,
    /// States.
    pub states: usize,
    /// Operations from them.
    pub transitions: u64,
}

/// Explores the lock for as many CPUs as `request` has, or for [`MOST_CPUS`].
pub(crate) fn prove_lock<S: Source>(
    source: S,
    request: &Request,
    workers: &dyn Workers,
    progress: &mut dyn FnMut(Progress),
) -> Result<LockProof, Unprovable> {
    let cpus = request.cpus.min(MOST_CPUS);
    let store_buffers = request.memory == crate::MemoryModel::Tso;
    let Request { subject, entry, keeps_dead, keeps_pending_loop, memory_mib, .. } = *request;
    let lock = Locking::Real;
    let setting = Setting { cpus, subject, entry, store_buffers, lock, keeps_dead, keeps_pending_loop };
    let mut prepared = prepare(source, setting)?;
    let symbols = prepared.interpreter.memory.source().symbols();
    let (take, release) = (symbols.address("_raw_spin_lock")?, symbols.address("_raw_spin_unlock")?);
    prepared.interpreter.memory.add_code(CODE, program(take, release));
    let mut starts = prepared.section.starts.clone();
    for vcpu in starts.iter_mut().flatten() {
        vcpu.registers.rip = CODE;
    }
    let section = Section { starts, control: None, record: None, ..prepared.section };
    let options = Options { failures: false, keeps_dead, symmetry: false, memory_mib };
    let mut explorer = Explorer::new(&mut prepared.interpreter, &Small, &section, options);
    let result = explorer.explore(workers, progress)?;
    match result.finding {
        Some(finding) => Err(Unprovable::Lock { steps: finding.steps }),
        None => Ok(LockProof { cpus, rounds: ROUNDS, states: result.states, transitions: result.transitions }),
    }
}

/// Most CPUs for which the lock is explored: more take far longer than the update with the lock's contract.
const MOST_CPUS: usize = 3;
const ROUNDS: usize = 2;

/// Takes the lock, looks whether somebody else has it, says that it has it, and releases it. Who finds another with the lock
/// never ends.
fn program(take: u64, release: u64) -> Vec<u8> {
    let mov = |opcode: [u8; 2], value: u64| [opcode.as_slice(), &value.to_le_bytes()].concat();
    let call = |function: u64| [mov([0x48, 0xbf], LOCK), mov([0x48, 0xb8], function), vec![0xff, 0xd0]].concat();
    let round = |rest: usize| {
        // mov dword [rcx], 1; mov dword [rcx], 0
        let own = [0xc7, 0x01, 1, 0, 0, 0, 0xc7, 0x01, 0, 0, 0, 0];
        let behind = [own.as_slice(), &call(release)].concat();
        let alone_ends = 3;
        let distance = (behind.len() + rest + alone_ends) as u32;
        // mov rcx, OWNER; mov eax, [rcx]; test eax, eax; jne
        let looks = [mov([0x48, 0xb9], OWNER), vec![0x8b, 0x01, 0x85, 0xc0, 0x0f, 0x85]].concat();
        [call(take), looks, distance.to_le_bytes().to_vec(), behind].concat()
    };
    let size = round(0).len();
    let rounds = (0..ROUNDS).flat_map(|number| round((ROUNDS - 1 - number) * size));
    // xor eax, eax; ret. Then for who is not alone: l: mov eax, [rcx]; jmp l
    rounds.chain([0x31, 0xc0, 0xc3, 0x8b, 0x01, 0xeb, 0xfc]).collect()
}
