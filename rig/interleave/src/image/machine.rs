//! A machine that stands where every CPU is about to enter the section, as memory.

use super::elf::ElfImage;
use super::paging::translate;
use super::physical::StandingMachine;
use super::source::{Source, StandingCpu};
use super::symbols::Symbols;
use crate::error::Unprovable;
use crate::firmware::{Emulated, PhysicalMemory};
use seam_emu::Config;
use std::sync::Arc;

/// By this variable a kernel is told from others.
const BANNER: &str = "linux_banner";

/// Virtual memory of a machine, by the page tables of its first CPU.
#[derive(Clone, Debug)]
pub struct MachineImage {
    machine: Arc<StandingMachine>,
    symbols: Symbols,
    digest: String,
}

impl MachineImage {
    /// From a machine, the ELF file of the kernel that runs there, and the symbols of its modules: name, address, size in bytes.
    pub fn new(
        machine: StandingMachine,
        kernel: &ElfImage,
        modules: Vec<(String, u64, u64)>,
    ) -> Result<Self, Unprovable> {
        let machine = Arc::new(machine);
        let symbols = kernel.symbols().with(modules);
        let image = Self { machine, symbols, digest: kernel.digest().to_owned() };
        let (banner, size) = kernel.symbols().extent(BANNER)?;
        if image.gather(banner, size as usize) != kernel.gather(banner, size as usize) {
            return Err(Unprovable::Image("another kernel runs in the machine than that of the ELF file".into()));
        }
        Ok(image)
    }

    /// The machine's firmware, from its configuration and its saved state.
    pub fn firmware(&self, config: &Config, saved: &[u8]) -> Result<Emulated, Unprovable> {
        Emulated::new(config, saved, Arc::new(Physical(Arc::clone(&self.machine))))
    }
}

/// Physical memory alone.
#[derive(Debug)]
struct Physical(Arc<StandingMachine>);

impl PhysicalMemory for Physical {
    fn physical(&self, address: u64) -> Option<&[u8]> {
        self.0.physical(address)
    }
}

impl Source for MachineImage {
    fn bytes(&self, address: u64) -> Option<&[u8]> {
        let (physical, left) = translate(&self.machine, address)?;
        let bytes = self.machine.physical(physical)?;
        Some(&bytes[..bytes.len().min(left as usize)])
    }

    fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn cpus(&self) -> &[StandingCpu] {
        &self.machine.cpus
    }
}
