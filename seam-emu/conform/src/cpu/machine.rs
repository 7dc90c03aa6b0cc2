//! The machine: a module that is loaded, and LPs that make SEAMCALLs into it.

use super::engine::{Engine, Progress, Stopped, World};
use super::memory::SharedMemory;
use crate::loader::{self, LoadError};
use crate::module_file::ModuleFile;
use crate::platform::{SEAM_RANGE, Topology};
use crate::services::{Msrs, Platform};
use crate::sites::Sites;
use crate::sizes::Sizes;
use seam_emu::{GuestMemory, Regs};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use thiserror::Error;
use unicorn_engine::uc_error;

/// Why there is no machine.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MachineError {
    #[error("no memory for the machine")]
    Memory(#[from] std::io::Error),
    #[error("P-SEAMLDR refuses the module")]
    Load(#[from] LoadError),
    #[error("the software CPU does not start: {0:?}")]
    Cpu(uc_error),
}

/// A platform with a module as code.
pub struct Machine {
    world: Rc<World>,
    /// Serves whole calls, of any LP.
    engine: Engine,
    /// For calls that are interleaved, one each; made when needed.
    pausing: Vec<Engine>,
    seed: u64,
}

impl Machine {
    /// Memory that is all zero, and in it a module. Random numbers follow from the seed.
    pub fn new(topology: Topology, module: &ModuleFile, sizes: Sizes, seed: u64) -> Result<Self, MachineError> {
        let mut memory = SharedMemory::new((SEAM_RANGE.base + SEAM_RANGE.size) as usize)?;
        let mut entropy = fastrand::Rng::with_seed(seed);
        let loaded = loader::load(&mut memory, topology, module, sizes, entropy.u64(..), false)?;
        let platform = Platform {
            topology,
            layout: loaded.layout,
            vmcss: loaded.vmcss,
            msrs: Msrs::default(),
            entropy,
            seamdb_index: 1,
            keys: BTreeSet::new(),
        };
        Self::with(memory, module, platform, seed)
    }

    fn with(memory: SharedMemory, module: &ModuleFile, platform: Platform, seed: u64) -> Result<Self, MachineError> {
        let sites = Sites::find(module);
        let world = Rc::new(World { module: module.clone(), sites, platform: RefCell::new(platform), memory });
        let engine = Engine::new(&world, false).map_err(MachineError::Cpu)?;
        Ok(Self { world, engine, pausing: Vec::new(), seed })
    }

    /// Replaces the module by another, as SEAMLDR.INSTALL does in an update: handoff data is kept. After an error the old
    /// module is as it was.
    pub fn update(&mut self, module: &ModuleFile, sizes: Sizes) -> Result<(), MachineError> {
        let mut memory = self.world.memory.clone();
        let mut platform = self.world.platform.borrow().clone();
        let random = platform.entropy.u64(..);
        let loaded = loader::load(&mut memory, platform.topology, module, sizes, random, true)?;
        // VMCSs of TDs stay where they are.
        platform.vmcss.retain(|pa, _| *pa < SEAM_RANGE.base);
        platform.vmcss.extend(loaded.vmcss);
        platform.layout = loaded.layout;
        platform.seamdb_index += 1;
        *self = Self::with(memory, module, platform, self.seed)?;
        Ok(())
    }

    /// Physical memory.
    pub fn memory(&self) -> impl GuestMemory + use<> {
        self.world.memory.clone()
    }

    /// A whole SEAMCALL of an LP; gives its registers at the end.
    pub fn seamcall(&mut self, lp: usize, regs: &Regs) -> Result<Regs, Stopped> {
        self.engine.begin(lp, regs)?;
        match self.engine.run(None)? {
            Progress::Done(regs) => Ok(regs),
            Progress::Paused => unreachable!("this engine does not pause"),
        }
    }

    /// Whether the last whole SEAMCALL entered a TD.
    pub fn entered_td(&self) -> bool {
        self.engine.entered_td()
    }

    /// SEAMCALLs of different LPs at the same time. `next` is asked again and again which of them goes on (of the numbers of
    /// calls that are not over) and past how many points. Gives the registers, and whether the call entered a TD.
    pub fn interleave(
        &mut self,
        calls: &[(usize, Regs)],
        mut next: impl FnMut(&[usize]) -> (usize, u64),
    ) -> Result<Vec<(Regs, bool)>, Stopped> {
        while self.pausing.len() < calls.len() {
            let engine = Engine::new(&self.world, true);
            let failed = |error| Stopped { at: "the start".to_owned(), why: format!("no second CPU: {error:?}") };
            self.pausing.push(engine.map_err(failed)?);
        }
        for (engine, (lp, regs)) in self.pausing.iter_mut().zip(calls) {
            engine.begin(*lp, regs)?;
        }
        let mut results: Vec<Option<(Regs, bool)>> = vec![None; calls.len()];
        loop {
            let open: Vec<usize> = (0..calls.len()).filter(|call| results[*call].is_none()).collect();
            if open.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            let (call, points) = next(&open);
            let engine = &mut self.pausing[call];
            if let Progress::Done(regs) = engine.run(Some(points))? {
                results[call] = Some((regs, engine.entered_td()));
            }
        }
    }

    /// Registers that the module used although the platform does not know them.
    pub fn unknown_msrs(&self) -> BTreeSet<u32> {
        self.world.platform.borrow().msrs.unknown().clone()
    }
}
