//! One software CPU that executes a module's code.

use super::memory::SharedMemory;
use super::registers::{self, CpuRegisters};
use crate::module_file::{ModuleFile, PAGE};
use crate::services::{Cpu, Lp, Next, Platform};
use crate::sites::Sites;
use crate::vmcs::{Vmcs, field};
use seam_emu::Regs;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use thiserror::Error;
use unicorn_engine::{Arch, HookType, Mode, Permission, RegisterX86, Unicorn, X86CpuModel, uc_error};

/// CR4 bits that the software CPU lacks: VMXE and CET.
const CR4_ABSENT: u64 = 1 << 13 | 1 << 23;
/// `IA32_EFER`.
const EFER: u32 = 0xC000_0080;
/// EFLAGS with nothing set but the bit that always is.
const FLAGS_CLEAR: u64 = 2;

/// The machine stopped in the middle of a SEAMCALL, and is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the module stopped at {at}: {why}")]
pub struct Stopped {
    /// Function and offset.
    pub at: String,
    /// What happened.
    pub why: String,
}

/// What several CPUs share.
pub(super) struct World {
    pub(super) module: ModuleFile,
    pub(super) sites: Sites,
    pub(super) platform: RefCell<Platform>,
    pub(super) memory: SharedMemory,
}

/// How far a CPU came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The SEAMCALL is over.
    Done(Regs),
    /// It stands before an instruction where LPs can come between each other.
    Paused,
}

/// What a CPU's hooks know.
struct Shared {
    world: Rc<World>,
    /// Linear address of the module's first byte.
    base: u64,
    lp: Cell<Lp>,
    done: Cell<Option<Regs>>,
    /// A TD was entered since the SEAMCALL began.
    entered_td: Cell<bool>,
    stopped: RefCell<Option<Stopped>>,
    /// Points that the CPU may still pass before it pauses; none: it does not pause.
    points_left: Cell<Option<u64>>,
    /// The point at which it paused, and where it goes on.
    paused_at: Cell<Option<u64>>,
}

/// A software CPU.
pub(super) struct Engine {
    cpu: Unicorn<'static, Rc<Shared>>,
    /// Keeps the memory that is mapped into `cpu`.
    shared: Rc<Shared>,
}

impl Engine {
    /// A CPU on the loaded module. With `pauses` it can be stopped where LPs come between each other.
    pub(super) fn new(world: &Rc<World>, pauses: bool) -> Result<Self, uc_error> {
        let base = world.platform.borrow().layout.linear.code;
        let shared = Rc::new(Shared {
            world: Rc::clone(world),
            base,
            lp: Cell::new(Lp { number: 0, apic_id: 0, current_vmcs: 0 }),
            done: Cell::new(None),
            entered_td: Cell::new(false),
            stopped: RefCell::new(None),
            points_left: Cell::new(None),
            paused_at: Cell::new(None),
        });
        let mut cpu = Unicorn::new_with_data(Arch::X86, Mode::MODE_64, Rc::clone(&shared))?;
        cpu.ctl_set_cpu_model(X86CpuModel::UC_CPU_X86_ICELAKE_SERVER as i32)?;
        world.memory.map_into(&mut cpu)?;
        if pauses {
            for offset in &world.sites.locked {
                cpu.add_code_hook(base + offset, base + offset, |cpu, address, _| point(cpu, address))?;
            }
        }
        for offset in world.sites.served.keys() {
            cpu.add_code_hook(base + offset, base + offset, |cpu, address, _| serve(cpu, address))?;
        }
        cpu.add_intr_hook(|cpu, vector| stop(cpu, format!("exception {vector}")))?;
        cpu.add_insn_invalid_hook(|cpu| {
            stop(cpu, "an instruction that the CPU lacks".to_owned());
            false
        })?;
        // Where there is no memory the bus gives ones.
        cpu.add_mem_hook(HookType::MEM_UNMAPPED, 1, 0, |cpu, kind, address, _, _| {
            let page = address & !(PAGE - 1);
            let mapped = cpu.mem_map(page, PAGE as usize, Permission::ALL);
            let filled = mapped.and_then(|()| cpu.mem_write(page, &[0xFF; PAGE as usize]));
            if filled.is_err() {
                stop(cpu, format!("{kind:?} at {address:#x}"));
            }
            filled.is_ok()
        })?;
        let mut engine = Self { cpu, shared };
        engine.enter_long_mode()?;
        Ok(engine)
    }

    /// Control registers as the SEAM VMCSs have them, all alike.
    fn enter_long_mode(&mut self) -> Result<(), uc_error> {
        let platform = self.shared.world.platform.borrow();
        let vmcs = platform.vmcss.get(&platform.layout.vmcs_pa).cloned().unwrap_or_default();
        drop(platform);
        let mut efer = [0; 16];
        efer[..4].copy_from_slice(&EFER.to_le_bytes());
        efer[8..].copy_from_slice(&vmcs.get(field::HOST_EFER).to_le_bytes());
        self.cpu.reg_write_long(RegisterX86::MSR, &efer)?;
        self.cpu.reg_write(RegisterX86::CR4, vmcs.get(field::HOST_CR4) & !CR4_ABSENT)?;
        self.cpu.reg_write(RegisterX86::CR3, vmcs.get(field::HOST_CR3))?;
        self.cpu.reg_write(RegisterX86::CR0, vmcs.get(field::HOST_CR0))
    }

    /// Begins a SEAMCALL of an LP: the CPU stands at the module's entry.
    pub(super) fn begin(&mut self, number: usize, regs: &Regs) -> Result<(), Stopped> {
        let world = Rc::clone(&self.shared.world);
        let apic_id = world.platform.borrow().topology.apic_id(number);
        let vmcs = self.enter_seam(Lp { number, apic_id, current_vmcs: 0 })?;
        self.shared.done.set(None);
        self.shared.entered_td.set(false);
        self.shared.paused_at.set(None);
        registers::set_operands(&mut self.cpu, regs);
        let rest = [
            (RegisterX86::RBP, 0),
            (RegisterX86::RSP, vmcs.get(field::HOST_RSP)),
            (RegisterX86::FS_BASE, vmcs.get(field::HOST_FS_BASE)),
            (RegisterX86::GS_BASE, vmcs.get(field::HOST_GS_BASE)),
            (RegisterX86::EFLAGS, FLAGS_CLEAR),
            (RegisterX86::RIP, vmcs.get(field::HOST_RIP)),
        ];
        for (register, value) in rest {
            registers::set(&mut self.cpu, register, value);
        }
        self.cpu.ctl_flush_tlb().map_err(|error| self.failed(error))
    }

    /// Makes the LP's SEAM VMCS current. Gives a copy of it.
    fn enter_seam(&mut self, mut lp: Lp) -> Result<Vmcs, Stopped> {
        let world = Rc::clone(&self.shared.world);
        let mut memory = world.memory.clone();
        let mut platform = world.platform.borrow_mut();
        let mut registers = CpuRegisters { cpu: &mut self.cpu, rip: 0 };
        let mut cpu = Cpu { lp: &mut lp, platform: &mut platform, registers: &mut registers, memory: &mut memory };
        let vmcs = cpu.enter_seam().cloned();
        self.shared.lp.set(lp);
        vmcs.map_err(|fault| Stopped { at: "SEAMCALL".to_owned(), why: fault.to_string() })
    }

    /// Runs to the end of the SEAMCALL, or past so many points.
    pub(super) fn run(&mut self, points: Option<u64>) -> Result<Progress, Stopped> {
        self.shared.points_left.set(points);
        let from = registers::get(&self.cpu, RegisterX86::RIP);
        let ran = self.cpu.emu_start(from, 0, 0, 0);
        if let Some(stopped) = self.shared.stopped.borrow_mut().take() {
            return Err(stopped);
        }
        ran.map_err(|error| self.failed(error))?;
        match self.shared.done.take() {
            Some(regs) => Ok(Progress::Done(regs)),
            None if self.shared.paused_at.get().is_some() => Ok(Progress::Paused),
            None => Err(Stopped { at: where_is(&self.cpu), why: "the CPU stopped by itself".to_owned() }),
        }
    }

    /// Whether the last SEAMCALL entered a TD.
    pub(super) fn entered_td(&self) -> bool {
        self.shared.entered_td.get()
    }

    fn failed(&self, error: uc_error) -> Stopped {
        Stopped { at: where_is(&self.cpu), why: format!("the CPU failed: {error:?}") }
    }
}

/// Function and offset of the instruction at which a CPU stands.
fn where_is(cpu: &Unicorn<'_, Rc<Shared>>) -> String {
    let shared = cpu.get_data();
    shared.world.module.name(registers::get(cpu, RegisterX86::RIP).wrapping_sub(shared.base))
}

/// Notes why the module cannot go on, and stops the CPU. What happened first counts.
fn stop(cpu: &mut Unicorn<'_, Rc<Shared>>, why: String) {
    let stopped = Stopped { at: where_is(cpu), why };
    cpu.get_data().stopped.borrow_mut().get_or_insert(stopped);
    halt(cpu);
}

fn halt(cpu: &mut Unicorn<'_, Rc<Shared>>) {
    cpu.emu_stop().expect("it runs");
}

/// A CPU stands where LPs can come between each other.
fn point(cpu: &mut Unicorn<'_, Rc<Shared>>, address: u64) {
    let shared = Rc::clone(cpu.get_data());
    if shared.paused_at.take() == Some(address) {
        return;
    }
    match shared.points_left.get() {
        Some(0) => {
            shared.paused_at.set(Some(address));
            halt(cpu);
        }
        left => shared.points_left.set(left.map(|left| left - 1)),
    }
}

/// A CPU stands at an instruction that is served.
fn serve(cpu: &mut Unicorn<'_, Rc<Shared>>, address: u64) {
    let shared = Rc::clone(cpu.get_data());
    let Some(site) = shared.world.sites.served.get(&(address - shared.base)) else { return };
    let (mut lp, mut memory) = (shared.lp.get(), shared.world.memory.clone());
    let mut platform = shared.world.platform.borrow_mut();
    let mut registers = CpuRegisters { cpu, rip: address };
    let mut served = Cpu { lp: &mut lp, platform: &mut platform, registers: &mut registers, memory: &mut memory };
    let next = served.serve(site).and_then(|next| {
        if next == Next::EnterTd {
            served.leave_td()?;
            shared.entered_td.set(true);
        }
        Ok(next)
    });
    drop(platform);
    shared.lp.set(lp);
    match next {
        Ok(Next::Behind) => registers::set(cpu, RegisterX86::RIP, address + site.instruction.len() as u64),
        Ok(Next::Execute | Next::EnterTd) => {}
        Ok(Next::Leave) => {
            shared.done.set(Some(registers::results(cpu)));
            halt(cpu);
        }
        Err(fault) => stop(cpu, fault.to_string()),
    }
}
