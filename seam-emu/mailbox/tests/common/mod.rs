//! A machine whose guest is the test itself.
#![allow(dead_code, reason = "each test uses a part of it")]

use rig_wire::event::Record;
use rig_wire::plan::{Function, PLAN_VERSION, Plan, Watch};
use rig_wire::ring::Ring;
use seam_emu::image::{ImageSpec, build};
use seam_emu::{Config, Regs};
use seam_mailbox::slots::{Caller, Kind, Request, Slots};
use seam_mailbox::{GuestRam, RamRange, RequestHandler, Shared};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// Signing takes a while.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| build(&ImageSpec::default()));

/// Guest memory, bytes.
pub(crate) const RAM: usize = 64 << 20;

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) plan: Plan<Config>,
    pub(crate) ring: Ring,
}

impl Bench {
    /// A plan for so many CPUs; `change` makes its firmware special.
    pub(crate) fn new(cpus: usize, change: impl FnOnce(&mut Plan<Config>)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("module.bin");
        std::fs::write(&image, &*IMAGE).unwrap();
        let ring = Ring::create(&dir.path().join("ring"), 1 << 12).unwrap();
        let watch = |name: &str| Watch { name: name.into(), address: 0, size: 4, within: Vec::new() };
        let mut plan = Plan {
            version: PLAN_VERSION,
            firmware: Config::for_lps(cpus),
            module_image: image,
            ring: Some(dir.path().join("ring")),
            control: None,
            exchange: None,
            stall_ns: None,
            restore: None,
            deterministic: false,
            yield_at_pause: false,
            watches: vec![watch("step"), watch("num_ack")],
            functions: vec![Function { name: "lockstep_run".into(), range: (0, 0) }],
            seamret_keeps_vmcs: true,
            schedules: Vec::new(),
            update_function: Some(0),
            counts_instructions: false,
            preempt_count_offset: None,
            hardirq_mask: 0,
            shortcuts: None,
            instruction_log: None,
        };
        change(&mut plan);
        Self { dir, plan, ring }
    }

    pub(crate) fn ram() -> (Arc<Shared>, GuestRam) {
        let ram = Arc::new(Shared::create("ram", RAM).unwrap());
        let range = RamRange { base: 0, size: RAM as u64, offset: 0 };
        (Arc::clone(&ram), GuestRam::new(ram, vec![range]))
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        std::iter::from_fn(|| self.ring.pop()).collect()
    }
}

/// A request handler and slots, without a thread.
pub(crate) struct Quiet {
    pub(crate) bench: Bench,
    pub(crate) handler: RequestHandler,
    pub(crate) memory: Arc<Shared>,
    pub(crate) ram: Arc<Shared>,
    pub(crate) slots: Slots,
}

impl Quiet {
    pub(crate) fn new(cpus: usize, change: impl FnOnce(&mut Plan<Config>)) -> Self {
        Self::of(Bench::new(cpus, change), cpus)
    }

    pub(crate) fn of(bench: Bench, cpus: usize) -> Self {
        let memory = Arc::new(Shared::create("slots", Slots::bytes(cpus)).unwrap());
        let (ram, guest) = Bench::ram();
        let handler = RequestHandler::new(&bench.plan, guest).unwrap();
        let slots = Slots::new(Arc::clone(&memory), cpus);
        Self { bench, handler, memory, ram, slots }
    }

    pub(crate) fn caller(&self, cpu: usize) -> Caller {
        Caller::new(Arc::clone(&self.memory), cpu)
    }

    /// A SEAMCALL that is answered at once.
    pub(crate) fn call(&mut self, cpu: usize, regs: Regs) -> (u32, Regs) {
        self.ask(cpu, &seamcall(regs)).expect("it is answered at once")
    }

    pub(crate) fn ask(&mut self, cpu: usize, request: &Request) -> Option<(u32, Regs)> {
        let caller = self.caller(cpu);
        let (number, _) = caller.post(request);
        self.handler.serve(&self.slots);
        caller.collect(number)
    }
}

pub(crate) fn seamcall(regs: Regs) -> Request {
    Request { kind: Kind::Seamcall as u32, flags: 1, guest_ns: 1000, regs }
}

pub(crate) fn leaf(rax: u64) -> Regs {
    Regs { rax, ..Regs::default() }
}

pub(crate) const SYS_INIT: u64 = 33;
pub(crate) const SYS_RD: u64 = 34;
pub(crate) const LP_INIT: u64 = 35;
pub(crate) const SEAMLDR_INFO: u64 = 1 << 63;
