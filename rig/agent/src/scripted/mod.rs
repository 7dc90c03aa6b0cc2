//! Scripted trust domains, as a VMM makes them: built, run and ended by SEAMCALLs through `/dev/tdx_raw`.

mod build;
mod calls;
mod vcpu;

pub(crate) use calls::Module;
pub(crate) use vcpu::{Counts, Vcpu};

use crate::cpu;
use crate::raw::Regs;
use calls::Leaf;
use std::sync::{Arc, Mutex, PoisonError};

/// A trust domain and all the pages that it has.
#[derive(Debug)]
pub(crate) struct Td {
    module: Arc<Module>,
    tdr: u64,
    /// Pages other than the TDR, which goes last.
    pages: Mutex<Vec<u64>>,
    /// Source of pages that are added, and of parameters; never the TD's own.
    source: u64,
    /// Its virtual CPUs' TDVPRs.
    tdvprs: Vec<u64>,
    /// CPUs that were online when it was built.
    cpus: Vec<usize>,
}

impl Td {
    /// TDVPR of a virtual CPU.
    fn tdvpr(&self, vcpu: usize) -> u64 {
        self.tdvprs[vcpu]
    }

    /// A fresh page that belongs to the TD from now on. Taken back with the others when the TD ends.
    fn page(&self) -> Result<u64, String> {
        let page = self.module.device.page()?;
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(page);
        Ok(page)
    }

    /// A page for the TD at a private address, after a fault there. The calling thread is bound to `cpu`.
    fn augment(&self, cpu: usize, gpa: u64) -> Result<(), String> {
        let page = self.module.device.page()?;
        let operands = Regs { rcx: gpa & !0xFFF, rdx: self.tdr, r8: page, ..Regs::default() };
        match self.module.call(cpu, Leaf::MemPageAug, operands) {
            Ok(_) => self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(page),
            Err(error) => {
                self.module.device.free(page)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// CPUs that were online when it was built.
    pub(crate) fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// Ends the TD and gives all its pages back. Its virtual CPUs must be flushed. The calling thread is bound to CPUs on
    /// the way.
    pub(crate) fn end(self) -> Result<(), String> {
        let first = *self.cpus.first().ok_or("no CPU is online")?;
        cpu::bind(first)?;
        let tdr = Regs { rcx: self.tdr, ..Regs::default() };
        self.module.call(first, Leaf::MngVpflushdone, tdr)?;
        for cpu in cpu::one_per_package(&self.cpus) {
            cpu::bind(cpu)?;
            self.module.call(cpu, Leaf::PhymemCacheWb, Regs::default())?;
        }
        cpu::bind(first)?;
        self.module.call(first, Leaf::MngKeyFreeid, tdr)?;
        let mut pages = std::mem::take(&mut *self.pages.lock().unwrap_or_else(PoisonError::into_inner));
        pages.push(self.tdr);
        for page in pages {
            self.module.call(first, Leaf::PhymemPageReclaim, Regs { rcx: page, ..Regs::default() })?;
            self.module.device.free(page)?;
        }
        self.module.device.free(self.source)
    }
}
