//! Building a TD, in the order that the TDX module demands.

use super::Td;
use super::calls::{Leaf, Module};
use crate::cpu;
use crate::raw::Regs;
use rig_wire::agent::SCRIPT_GPA;
use std::sync::{Arc, Mutex};

/// Metadata fields: bytes of a TDCS, and of a TDVPS. Source: TDX module `global_metadata.json`.
const TDCS_SIZE: u64 = 0x9800_0001_0000_0100;
const TDVPS_SIZE: u64 = 0x9800_0001_0000_0200;
/// Status of TDH.MNG.CREATE for a KeyID that another TD has.
const HKID_NOT_FREE: u64 = 0xC000_0820_0000_0000;
/// Bytes that one TDH.MR.EXTEND measures.
const CHUNK: usize = 256;
const PAGE: usize = 4096;
/// Highest level of secure EPT tables below the root of a walk of 4 levels.
const TOP_LEVEL: u64 = 3;

impl Td {
    /// A TD for so many virtual CPUs with the first free KeyID, up to TDH.MNG.INIT. The calling thread is bound to CPUs on
    /// the way.
    pub(crate) fn create(module: &Arc<Module>, vcpus: u32) -> Result<Self, String> {
        let cpus = cpu::online()?;
        let first = *cpus.first().ok_or("no CPU is online")?;
        let (tdr, source) = (module.device.page()?, module.device.page()?);
        let td = Self { module: Arc::clone(module), tdr, pages: Mutex::default(), source, tdvprs: Vec::new(), cpus };
        cpu::bind(first)?;
        td.take_keyid(first)?;
        for cpu in cpu::one_per_package(&td.cpus) {
            cpu::bind(cpu)?;
            td.module.call(cpu, Leaf::MngKeyConfig, Regs { rcx: tdr, ..Regs::default() })?;
        }
        cpu::bind(first)?;
        for _ in 0..td.module.field(first, TDCS_SIZE)? / PAGE as u64 {
            td.module.call(first, Leaf::MngAddcx, Regs { rcx: td.page()?, rdx: tdr, ..Regs::default() })?;
        }
        td.module.device.write(source, &parameters(vcpus))?;
        td.module.call(first, Leaf::MngInit, Regs { rcx: tdr, rdx: source, ..Regs::default() })?;
        Ok(td)
    }

    /// TDH.MNG.CREATE with one KeyID after another, until one is free.
    fn take_keyid(&self, cpu: usize) -> Result<(), String> {
        for keyid in self.module.device.keyids()? {
            let operands = Regs { rcx: self.tdr, rdx: keyid.into(), ..Regs::default() };
            match self.module.status(cpu, Leaf::MngCreate, 0, operands)?.0 {
                0 => return Ok(()),
                HKID_NOT_FREE => {}
                status => return Err(format!("MngCreate with KeyID {keyid}: status {status:#018x}")),
            }
        }
        Err("no KeyID is free".into())
    }

    /// Adds what its virtual CPUs run: a page of script for each, with the tables above.
    pub(crate) fn load(&mut self, scripts: &[Vec<u8>]) -> Result<(), String> {
        let first = self.cpus[0];
        cpu::bind(first)?;
        for level in (1..=TOP_LEVEL).rev() {
            let operands = Regs { rcx: level, rdx: self.tdr, r8: self.page()?, ..Regs::default() };
            self.module.call(first, Leaf::MemSeptAdd, operands)?;
        }
        for (vcpu, script) in scripts.iter().enumerate() {
            self.add_vcpu(first, vcpu as u64)?;
            self.add_page(first, SCRIPT_GPA + (vcpu * PAGE) as u64, script)?;
        }
        Ok(())
    }

    /// A virtual CPU that begins at its script, on no CPU.
    fn add_vcpu(&mut self, cpu: usize, number: u64) -> Result<(), String> {
        let tdvpr = self.page()?;
        self.module.call(cpu, Leaf::VpCreate, Regs { rcx: tdvpr, rdx: self.tdr, ..Regs::default() })?;
        for _ in 1..self.module.field(cpu, TDVPS_SIZE)? / PAGE as u64 {
            self.module.call(cpu, Leaf::VpAddcx, Regs { rcx: self.page()?, rdx: tdvpr, ..Regs::default() })?;
        }
        let begin = SCRIPT_GPA + number * PAGE as u64;
        let init = Regs { rcx: tdvpr, rdx: begin, r8: number, ..Regs::default() };
        self.module.call_version(cpu, Leaf::VpInit, 1, init)?;
        self.module.call(cpu, Leaf::VpFlush, Regs { rcx: tdvpr, ..Regs::default() })?;
        self.tdvprs.push(tdvpr);
        Ok(())
    }

    /// Adds a page to the TD's initial memory and measures it. The calling thread is bound to `cpu`.
    pub(crate) fn add_page(&self, cpu: usize, gpa: u64, bytes: &[u8]) -> Result<(), String> {
        let mut page = bytes.to_vec();
        page.resize(PAGE, 0);
        self.module.device.write(self.source, &page)?;
        let add = Regs { rcx: gpa, rdx: self.tdr, r8: self.page()?, r9: self.source, ..Regs::default() };
        self.module.call(cpu, Leaf::MemPageAdd, add)?;
        for offset in (0..PAGE).step_by(CHUNK) {
            let extend = Regs { rcx: gpa + offset as u64, rdx: self.tdr, ..Regs::default() };
            self.module.call(cpu, Leaf::MrExtend, extend)?;
        }
        Ok(())
    }

    /// Completes the TD: its virtual CPUs can run.
    pub(crate) fn finalize(&self) -> Result<(), String> {
        let first = self.cpus[0];
        cpu::bind(first)?;
        self.module.call(first, Leaf::MrFinalize, Regs { rcx: self.tdr, ..Regs::default() }).map(drop)
    }
}

/// `TD_PARAMS`: no attributes but those that the TDX module demands, x87 and SSE, secure EPT of 4 levels, 2.5 GHz.
/// Source: TDX module `tdx_api_defs.h` (`td_params_t`), Linux `tdx_arch.h`.
fn parameters(vcpus: u32) -> [u8; 1024] {
    let mut bytes = [0; 1024];
    let mut put = |offset: usize, value: u64, size: usize| {
        bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
    };
    // ATTRIBUTES: SEPT_VE_DISABLE. XFAM. MAX_VCPUS.
    put(0, 1 << 28, 8);
    put(8, 3, 8);
    put(16, vcpus.into(), 2);
    // EPTP_CONTROLS: write-back, 4 levels. CONFIG_FLAGS: NO_RBP_MOD. TSC_FREQUENCY in units of 25 MHz.
    put(24, 6 | 3 << 3, 8);
    put(32, 0b100, 8);
    put(40, 100, 2);
    bytes
}
