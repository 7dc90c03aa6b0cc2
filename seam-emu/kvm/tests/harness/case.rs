//! A case: updates on some vCPUs, which the first broken invariant ends.

use super::machine::{Machine, RFLAGS};
use super::outcome::Outcome;
use super::recorded::Recorded;
use super::walk::{Trouble, Walked, walk};
use super::{firmware, kernel};
use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;
use rig_judge::RunEnd;
use rig_wire::event::{Kind, Mark, NO_LP, UpdateOutcome, update_end};
use rig_wire::plan::Hold;
use rig_wire::ring::Ring;
use seam_emu::{Config, Durations, Fault};
use seam_kvm::{Emulator, Events, KernelImage, KvmVcpu, Options, RunArea, SetupError, Vcpu, registers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// So many records have room.
const RECORDS: u64 = 1 << 16;
/// After this time a case is given up: a kernel that waits for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// What a case is to be.
pub(crate) struct Case {
    pub(crate) image: KernelImage,
    pub(crate) lps: u16,
    pub(crate) updates: u32,
    pub(crate) schedules: Vec<Vec<Hold>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) durations: Durations,
    /// Every vCPU is kicked so often; none: never.
    pub(crate) kicks: Option<Duration>,
    /// The case is given up after this time.
    pub(crate) limit: Duration,
    pub(crate) in_vmx_root: bool,
    /// Interrupts are enabled at the section's entry.
    pub(crate) interrupts: bool,
}

impl Case {
    /// One update of the unmodified kernel.
    pub(crate) fn new(lps: u16) -> Self {
        Self {
            image: kernel::kernel(),
            lps,
            updates: 1,
            schedules: Vec::new(),
            faults: Vec::new(),
            durations: Durations::default(),
            kicks: None,
            limit: LIMIT,
            in_vmx_root: true,
            interrupts: false,
        }
    }

    /// The machine and its emulator, before the first update; records come out of the ring.
    pub(crate) fn prepare(&self) -> Result<Prepared, SetupError> {
        let machine = Machine::new(&self.image, self.lps);
        let config = Config {
            faults: self.faults.clone(),
            durations: self.durations.clone(),
            remaining_updates: 1 << 20,
            ..Config::for_lps(self.lps.into())
        };
        let options = Options {
            subject: kernel::subject(&self.image),
            schedules: self.schedules.clone(),
            update_function: Some(0),
            lps: self.lps.into(),
            map: seam_kvm::KernelMap::default(),
            in_vmx_root: self.in_vmx_root,
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ring");
        let ring = Ring::create(&path, RECORDS).expect("the ring is made");
        let reader = Ring::open(&path).expect("the ring is there");
        let firmware = firmware::initialised(config);
        let emulator = Emulator::new(&self.image, machine.ram.clone(), firmware, Events::new(Some(ring)), options)?;
        let vcpus = (0..self.lps).map(|lp| machine.vcpu(lp)).collect();
        let recorded = Recorded::new(reader, kernel::setup(&self.image, self.lps));
        Ok(Prepared { machine, emulator: Arc::new(emulator), vcpus, recorded, _folder: folder })
    }

    /// Makes the updates.
    pub(crate) fn go(&self) -> Result<Outcome, Trouble> {
        let mut prepared = self.prepare().expect("the kernel's sites are found and rewritten");
        let began = Instant::now();
        let mut walks = Vec::new();
        let mut kicks = 0;
        for number in 1..=self.updates {
            let ended = prepared.update(number, self)?;
            kicks += ended.iter().map(|(_, kicks)| kicks).sum::<u64>();
            let update: Vec<Walked> = ended.into_iter().map(|(walked, _)| walked).collect();
            let is_over = update.iter().any(|walked| *walked != Walked::Returned(0));
            walks.push(update);
            if is_over {
                break;
            }
        }
        let took = began.elapsed();
        Ok(prepared.conclude(walks, kicks, took))
    }
}

/// A machine before an update.
pub(crate) struct Prepared {
    pub(crate) machine: Machine,
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) vcpus: Vec<KvmVcpu<VcpuFd>>,
    recorded: Recorded,
    _folder: TempDir,
}

extern "C" fn interrupted(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

impl Prepared {
    /// One update on all vCPUs: how each walk ended, and how often it was interrupted.
    pub(crate) fn update(&mut self, number: u32, case: &Case) -> Result<Vec<(Walked, u64)>, Trouble> {
        self.machine.begin_update();
        let emulator = Arc::clone(&self.emulator);
        let mark = |mark: Mark, argument| {
            emulator.events().record(NO_LP, Kind::Mark, 0, [mark as u64, argument, 0, 0]);
        };
        mark(Mark::UpdateBegin, number.into());
        let given_up = Arc::new(AtomicBool::new(false));
        let areas: Vec<RunArea> = self.vcpus.iter().map(|vcpu| self.machine.area(vcpu.fd())).collect();
        let mut threads = Vec::new();
        for (lp, mut vcpu) in (0..).zip(std::mem::take(&mut self.vcpus)) {
            self.machine.call_section(&mut vcpu, lp);
            if case.interrupts {
                vcpu.set_registers(&kvm_regs { rflags: RFLAGS | registers::IF, ..vcpu.registers() });
            }
            threads.push(spawn(Arc::clone(&self.emulator), lp, vcpu, Arc::clone(&given_up)));
        }
        attend(&threads, &areas, case, &mut self.recorded, &given_up);
        let mut ended = Vec::new();
        for thread in threads {
            let (vcpu, walked) = thread.join().expect("no vCPU's thread panics");
            self.vcpus.push(vcpu);
            ended.push(walked);
        }
        let ended = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
        if ended.iter().any(|(walked, _)| *walked == Walked::GivenUp) {
            return Ok(ended);
        }
        let is_success = ended.iter().all(|(walked, _)| *walked == Walked::Returned(0));
        let outcome = if is_success { UpdateOutcome::Succeeded } else { UpdateOutcome::Failed };
        mark(Mark::UpdateEnd, update_end(number, outcome));
        Ok(ended)
    }

    fn conclude(self, walks: Vec<Vec<Walked>>, kicks: u64, took: Duration) -> Outcome {
        let is_over = !walks.iter().flatten().any(|walked| *walked == Walked::GivenUp);
        let hung = || RunEnd::Hung { what: "the section does not return".into() };
        let (records, examined) = self.recorded.finish(if is_over { RunEnd::Finished } else { hung() });
        Outcome { examined, records, walks, kicks, took, emulator: self.emulator }
    }
}

/// A vCPU's thread, which gives the vCPU back.
type Thread = JoinHandle<(KvmVcpu<VcpuFd>, Result<(Walked, u64), Trouble>)>;

fn spawn(emulator: Arc<Emulator>, lp: u16, mut vcpu: KvmVcpu<VcpuFd>, given_up: Arc<AtomicBool>) -> Thread {
    std::thread::spawn(move || {
        let walked = walk(&emulator, lp, &mut vcpu, &given_up);
        if let Ok((Walked::Returned(value), _)) = walked {
            emulator.events().record(lp, Kind::FunctionExit, 0, [0, value, 0, 0]);
        }
        if !matches!(walked, Ok((Walked::Returned(_), _))) {
            // The others would wait for this one.
            given_up.store(true, Ordering::SeqCst);
        }
        (vcpu, walked)
    })
}

/// Looks at what is recorded and kicks the threads, until all have ended.
fn attend(threads: &[Thread], areas: &[RunArea], case: &Case, recorded: &mut Recorded, given_up: &AtomicBool) {
    register_signal_handler(SIGRTMIN(), interrupted).expect("the signal can be taken");
    let began = Instant::now();
    while !threads.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(case.kicks.unwrap_or(Duration::from_millis(1)));
        if recorded.look() || began.elapsed() > case.limit {
            given_up.store(true, Ordering::SeqCst);
        }
        if case.kicks.is_none() && !given_up.load(Ordering::SeqCst) {
            continue;
        }
        for (thread, area) in threads.iter().zip(areas).filter(|(thread, _)| !thread.is_finished()) {
            area.kick();
            // It may have ended just now.
            let _ = thread.kill(SIGRTMIN());
        }
    }
    areas.iter().for_each(RunArea::take_kick);
}
