//! What is done in place of instructions that a software CPU lacks.
//!
//! The flags: a module looks at them right behind each of these instructions, so ZF and CF are written, the other
//! arithmetic flags are cleared.

mod cpuid;
mod msrs;
mod operand;
mod seam;
#[cfg(feature = "cpu")]
mod td;
mod vmx;

use crate::layout::Layout;
use crate::loader;
use crate::paging::{self, MemoryFault};
use crate::platform::Topology;
use crate::sites::{Service, Site};
use crate::vmcs::{Vmcs, field};
use iced_x86::Register;
use seam_emu::GuestMemory;
use std::collections::{BTreeSet, HashMap};
use thiserror::Error;

pub use msrs::Msrs;

/// The registers of a CPU, as far as services need them: general-purpose ones in full width, RIP, and FS and GS for the
/// bases of those segments.
pub trait Registers {
    /// A register's value.
    fn get(&self, register: Register) -> u64;
    /// Sets a register.
    fn set(&mut self, register: Register, value: u64);
    /// Sets ZF and CF, and clears the other arithmetic flags.
    fn set_flags(&mut self, zero: bool, carry: bool);
}

/// What the CPU does after a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on behind the instruction.
    Behind,
    /// Executes the instruction itself.
    Execute,
    /// Leaves SEAM: the SEAMCALL is over.
    Leave,
    /// Enters the TD whose VMCS is current.
    EnterTd,
}

/// What a module did that the machine cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ServiceFault {
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    #[error("no VMCS is current")]
    NoVmcs,
    #[error("SEAMOPS leaf {0} is not served")]
    Seamops(u64),
    #[error("an operand is neither a register nor memory")]
    Operand,
}

/// The platform beneath the module, which all LPs share.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Its LPs.
    pub topology: Topology,
    /// Where the module lies.
    pub layout: Layout,
    /// All VMCSs that were loaded, by physical address without a KeyID.
    pub vmcss: HashMap<u64, Vmcs>,
    /// Model-specific registers, one set for all LPs.
    pub msrs: Msrs,
    /// Random numbers of RDRAND and RDSEED.
    pub entropy: fastrand::Rng,
    /// Entries of the SEAM database that were used.
    pub seamdb_index: u64,
    /// KeyIDs that PCONFIG programmed, by package.
    pub keys: BTreeSet<(u32, u16)>,
}

/// The LP that executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lp {
    /// Its number.
    pub number: usize,
    /// Its x2APIC id.
    pub apic_id: u32,
    /// Physical address of the VMCS that is current on it.
    pub current_vmcs: u64,
}

/// Everything that a service works on.
pub(crate) struct Cpu<'a> {
    pub(crate) lp: &'a mut Lp,
    pub(crate) platform: &'a mut Platform,
    pub(crate) registers: &'a mut dyn Registers,
    pub(crate) memory: &'a mut dyn GuestMemory,
}

impl Cpu<'_> {
    /// Root of the page tables.
    fn root(&self) -> u64 {
        self.platform.layout.pml4_pa
    }

    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), MemoryFault> {
        paging::read(self.memory, self.root(), address, buf)
    }

    fn write(&mut self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        let root = self.root();
        paging::write(self.memory, root, address, data)
    }

    /// The VMCS that is current.
    fn vmcs(&mut self) -> Result<&mut Vmcs, ServiceFault> {
        self.platform.vmcss.get_mut(&self.lp.current_vmcs).ok_or(ServiceFault::NoVmcs)
    }

    /// Does what an instruction does.
    pub(crate) fn serve(&mut self, site: &Site) -> Result<Next, ServiceFault> {
        match site.service {
            Service::Vmread | Service::Vmwrite | Service::Vmptrld | Service::Vmptrst => self.vmx(site)?,
            Service::Vmclear | Service::Invalidate => self.registers.set_flags(false, false),
            Service::EnterTd => return Ok(Next::EnterTd),
            Service::Rdmsr => {
                let value = self.platform.msrs.read(self.registers.get(Register::RCX) as u32);
                self.registers.set(Register::RAX, value & 0xFFFF_FFFF);
                self.registers.set(Register::RDX, value >> 32);
            }
            Service::Wrmsr => {
                let low = self.registers.get(Register::RAX) & 0xFFFF_FFFF;
                let value = self.registers.get(Register::RDX) << 32 | low;
                self.platform.msrs.write(self.registers.get(Register::RCX) as u32, value);
            }
            Service::Cpuid => self.cpuid(),
            Service::Random => {
                let value = self.platform.entropy.u64(..);
                self.put(site, 0, value)?;
                self.registers.set_flags(false, true);
            }
            Service::Seamops => self.seamops()?,
            Service::Seamret => return Ok(Next::Leave),
            Service::Pconfig => self.pconfig()?,
            Service::Movdir64b => self.movdir64b(site)?,
            Service::Clac => {
                loader::strip_keyholes(self.memory, &self.platform.layout, self.lp.apic_id)?;
                return Ok(Next::Execute);
            }
            Service::Xgetbv => {
                // XCR0 of a VMM that uses x87, SSE and AVX.
                self.registers.set(Register::RAX, 7);
                self.registers.set(Register::RDX, 0);
            }
            Service::CacheWriteBack | Service::ExtendedState | Service::WideVector => {}
        }
        Ok(Next::Behind)
    }

    /// What the CPU does at SEAMCALL: the VMM's state goes to the LP's SEAM VMCS, which becomes current.
    /// Source: TDX module 1.5.05 `tdx_vmm_dispatcher.c`, which reads it.
    pub(crate) fn enter_seam(&mut self) -> Result<&Vmcs, ServiceFault> {
        self.lp.current_vmcs = self.platform.layout.vmcs_of(self.lp.apic_id);
        let vmcs = self.vmcs()?;
        vmcs.set(field::EXIT_REASON, crate::vmcs::EXIT_BY_SEAMCALL);
        vmcs.set(field::INSTRUCTION_LENGTH, 4);
        vmcs.set(field::GUEST_RIP, 0xFFFF_FFFF_8100_0000);
        vmcs.set(field::GUEST_RFLAGS, 2);
        vmcs.set(field::GUEST_DEBUGCTL, 0);
        Ok(vmcs)
    }
}

#[cfg(test)]
mod tests;
