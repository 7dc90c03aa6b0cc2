//! Timelines as the in-tree kernel makes them, without a machine: for tests of all that judges or shows a timeline.
//!
//! An imitation of `arch/x86/virt/vmx/tdx/seamldr.c` of Linux 7.3 at the grain of its SEAMCALLs and memory accesses, run as a
//! discrete-event simulation: each CPU has its own clock, and the one that is ready first acts next. Drawn from a seed, so
//! that every timeline can be made again.

mod cpu;
mod kernel;
mod recording;
mod twist;

pub use recording::Synthetic;
pub use twist::Twist;

use crate::examination::{Examination, Examined};
use crate::findings::Findings;
use crate::run_end::RunEnd;
use crate::timeline::Leaf;
use crate::{Breach, Setup, SubjectNames};
use kernel::Kernel;
use recording::{Fault, tdr};
use rig_wire::event::{Kind, Mark, UpdateOutcome, flags, update_end};
use rig_wire::plan::{Function, Watch};

impl Synthetic {
    /// A machine with `lps` LPs before its boot.
    pub fn new(lps: u16) -> Self {
        let mut setup = Setup::new(lps, SubjectNames::in_tree());
        setup.watches = watches(&setup.subject);
        setup.functions = functions(&setup.subject);
        Self {
            setup,
            records: Vec::new(),
            console: Vec::new(),
            end: RunEnd::Finished,
            twist: None,
            fault: None,
            tds: 0,
            now_ns: 1_000_000,
            uploads: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// A plain run: boot, then this many updates.
    pub fn plain(lps: u16, updates: u32) -> Self {
        (0..updates).fold(Self::new(lps).boot(), |run, _| run.update())
    }

    /// Draws durations from another seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random ^= seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
        self
    }

    /// The kernel, or what is around it, is wrong in this way from now on.
    #[must_use]
    pub fn twist(mut self, twist: Twist) -> Self {
        self.twist = Some(twist);
        self
    }

    /// `leaf` returns `status` on `lp` from now on.
    #[must_use]
    pub fn fault(mut self, leaf: Leaf, lp: u16, status: u64) -> Self {
        self.fault = Some(Fault { leaf, lp, status });
        self
    }

    /// Without watches and functions, as on real hardware: SEAMCALLs are all there is to see.
    #[must_use]
    pub fn seamcalls_only(mut self) -> Self {
        self.setup.watches.clear();
        self.setup.functions.clear();
        let unseen = [Kind::Watch, Kind::FunctionEnter, Kind::FunctionExit].map(|k| k as u16);
        self.records.retain(|r| !unseen.contains(&r.kind));
        self.renumber();
        self
    }

    /// The kernel finds the module and initialises it.
    #[must_use]
    pub fn boot(mut self) -> Self {
        self.line("Linux version 7.3.4 (synthetic)");
        self.call(0, Leaf::SYS_INIT, 0, 90_000);
        for lp in 0..self.setup.lps {
            self.call(lp, Leaf::LP_INIT, 0, 40_000);
        }
        for field in 0..12 {
            self.call(0, Leaf::SYS_RD, 0x9100_0001_0000_0008 + field, 1_500);
        }
        self.call(0, Leaf(45), 0, 120_000);
        self.call(0, Leaf(31), 0, 200_000);
        (0..8).for_each(|_| self.call(0, Leaf(36), 0, 300_000));
        self.line("virt/tdx: module initialized");
        self.call(0, Leaf::SEAMLDR_INFO, 0, 6_000);
        self.mark(Mark::Ready, 0);
        self
    }

    /// This many TDs exist from now on, each with one virtual CPU that runs now and then.
    #[must_use]
    pub fn tds(mut self, tds: u64) -> Self {
        self.tds = tds;
        self.setup.load.tds_run_again = true;
        self.run_tds();
        self
    }

    /// SEAMCALLs from process and from interrupt context, on all LPs at once.
    #[must_use]
    pub fn load(mut self) -> Self {
        self.setup.load.concurrency = true;
        let interrupt = if self.twist == Some(Twist::NoInterruptLoad) { 0 } else { flags::HARDIRQ };
        for round in 0..4 {
            let context = |lp| if (round + lp) % 2 == 0 { flags::IF } else { interrupt };
            let lps = 0..self.setup.lps;
            lps.clone()
                .for_each(|lp| self.enter(lp, Leaf::SYS_RD, 0x0a00_0003_0000_0008, context(lp) | flags::CONTEXT_KNOWN));
            lps.for_each(|lp| self.exit(lp, Leaf::SYS_RD, 0x0a00_0003_0000_0008, 0));
        }
        self
    }

    /// An upload and what the kernel makes of it.
    #[must_use]
    pub fn update(mut self) -> Self {
        self.uploads += 1;
        self.mark(Mark::UpdateBegin, u64::from(self.uploads));
        let mut outcome = Kernel::new(&mut self).run();
        if self.twist == Some(Twist::SecondSection) {
            outcome = outcome.and(Kernel::new(&mut self).run());
        }
        match outcome {
            None => self.end = RunEnd::Hung { what: format!("update {} makes no progress", self.uploads) },
            Some(failed) => self.upload_ended(failed && self.twist != Some(Twist::TellSuccess)),
        }
        self
    }

    fn upload_ended(&mut self, failed: bool) {
        self.line(if failed { "seamldr: SEAMCALL failed" } else { "virt/tdx: module updated" });
        if self.twist == Some(Twist::Warning) {
            self.line("WARNING: CPU: 1 PID: 42 at arch/x86/virt/vmx/tdx/tdx.c:1323 tdx_module_run_update+0x9a/0xb0");
        }
        let outcome = match failed {
            _ if self.twist == Some(Twist::UntoldOutcome) => UpdateOutcome::Unknown,
            true => UpdateOutcome::Failed,
            false => UpdateOutcome::Succeeded,
        };
        self.mark(Mark::UpdateEnd, update_end(self.uploads, outcome));
        self.call(0, Leaf::SEAMLDR_INFO, 0, 6_000);
        let sleeps_once = self.twist == Some(Twist::TdSleepsOnce) && self.uploads == 1;
        if self.twist != Some(Twist::SleepingTd) && !sleeps_once {
            self.run_tds();
        }
    }

    /// Judges it as the rig does while a run is under way. Returns the first breach as well.
    pub fn judge(&self) -> (Findings, Option<Breach>) {
        let (examined, first) = self.examine();
        (examined.findings, first)
    }

    /// The same, with the end as it was judged.
    pub fn examine(&self) -> (Examined, Option<Breach>) {
        let mut examination = Examination::new(self.setup.clone());
        let mut first = None;
        for record in &self.records {
            let line = self.console.get(record.a as usize).map(String::as_str);
            first = first.or(examination.record(record, line));
        }
        (examination.finish(&self.end), first)
    }

    /// Gives each record its place, after they were edited.
    pub fn renumber(&mut self) {
        self.records.iter_mut().zip(0..).for_each(|(record, seq)| record.seq = seq);
    }

    fn run_tds(&mut self) {
        for td in 0..self.tds {
            let lp = (td % u64::from(self.setup.lps)) as u16;
            self.enter(lp, Leaf::VP_ENTER, 0, flags::IF);
            self.records.last_mut().expect("an entry was recorded").b = tdvpr(td);
            let is_dead = self.twist == Some(Twist::DeadTd) && self.uploads > 0;
            self.exit(lp, Leaf::VP_ENTER, 0, if is_dead { NON_RECOVERABLE_TD } else { 0 });
        }
    }
}

/// `TDX_NON_RECOVERABLE_TD` (TDX Module ABI specification, "Function Completion Status Codes").
const NON_RECOVERABLE_TD: u64 = 0x4000_0002_0000_0000;

/// Address of its virtual CPU's TDVPR page.
fn tdvpr(td: u64) -> u64 {
    tdr(td) + 0x1000
}

fn watches(names: &SubjectNames) -> Vec<Watch> {
    let code = (0xffff_ffff_8107_8630, 0xffff_ffff_8107_8746);
    let words = [&names.state, &names.num_ack, &names.num_failed, &names.num_online];
    let addresses = [0xffff_ffff_817c_7d60, 0xffff_ffff_817c_7d64, 0xffff_ffff_817c_7d68, 0xffff_ffff_816c_df40];
    let watch =
        |(name, address): (&&String, u64)| Watch { name: (*name).clone(), address, size: 4, within: vec![code] };
    words.iter().zip(addresses).map(watch).collect()
}

fn functions(names: &SubjectNames) -> Vec<Function> {
    let ranges = [
        (&names.install_function, (0xffff_ffff_8107_8630, 0xffff_ffff_8107_8746)),
        (&names.stop_function, (0xffff_ffff_8111_8700, 0xffff_ffff_8111_8840)),
        (&names.set_online_function, (0xffff_ffff_8108_19f0, 0xffff_ffff_8108_1a21)),
    ];
    ranges.iter().map(|(name, range)| Function { name: (*name).clone(), range: *range }).collect()
}
