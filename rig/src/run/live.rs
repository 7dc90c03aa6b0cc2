//! The live part of a run: a machine, its observer, and what ends them.

use super::backend::Bridge;
use super::bound::Bound;
use super::diagnose::{self, Autopsy, diagnosis, examine};
use super::drive::{Drive, DriveError, Told};
use super::folder::RunFolder;
use super::interrupt::Interrupts;
use super::observer::{Alarm, Lines, Observed, Observer, Past, RING_CAPACITY};
use super::outcome::{Evidence, conclude};
use super::prepare::{CONTROL, MAILBOX, Prepared, RING};
use super::snapshot::{self, EVENTS, KERNEL_LOG, Note, ONLY_IN_UPDATES, Snapshot, Start, boot_config};
use super::stall::StallBudget;
use super::stop::{Stop, Watched};
use crate::guest::{Guest, KernelLine, LogLines, kernel_log, panic_line};
use crate::machine::command::{MachineSpec, MachineStart, MailboxDevice};
use crate::machine::control::Emulator;
use crate::machine::memory;
use crate::machine::snapshot::SavedMachine;
use crate::machine::{Machine, ShutdownReason, clone_command, command_text, tsc};
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::timeline::{Decoder, EventsReader, Leaf};
use rig_judge::{RunEnd, Verdict};
use rig_wire::agent::Command;
use rig_wire::event::Kind;
use rig_wire::plan::{Control, STALLED_EXIT_CODE};
use rig_wire::ring::Ring;
use seam_mailbox::{Server, ServerSpec};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The time-stamp counter of a deterministic guest counts nanoseconds of its virtual time (`cpus_get_elapsed_ticks()` of QEMU).
const DETERMINISTIC_TSC_KHZ: u32 = 1_000_000;

/// Grace for answers that were sent before QEMU ended, and for an exit after its channels closed.
const GRACE: Duration = Duration::from_secs(2);
/// Grace for the exit of a QEMU whose channels closed: a busy host takes some seconds to free its memory.
pub(super) const EXIT_GRACE: Duration = Duration::from_secs(15);
/// Time for an orderly end after Ctrl-C.
const ORDERLY: Duration = Duration::from_secs(5);

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) enum NoSnapshot {
    /// A person ended the boot.
    Interrupted,
    /// The machine did not come up, or could not be saved.
    Failed(Trouble),
}

impl From<Trouble> for NoSnapshot {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// Runs what was prepared. `total` is when the command began. The verdict is in the run folder, too.
pub fn run(mut prepared: Prepared, total: Instant, progress: &Progress) -> Result<Verdict, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let help = "check the limits on threads and open files (ulimit -a)";
    let runtime = runtime.map_err(|e| Trouble::environment(format!("cannot start threads: {e}"), help))?;
    prepared.start = snapshot::choose(&prepared, &runtime, progress)?;
    runtime.block_on(async { Box::pin(Live::start(prepared, total).await?.conduct(progress)).await })
}

/// A run under way.
pub(super) struct Live {
    pub(super) prepared: Prepared,
    total: Instant,
    started: Instant,
    machine: Machine,
    guest: Guest,
    pub(super) emulator: Emulator,
    pub(super) observer: Observer,
    kernel_lines: Arc<AtomicU64>,
    kernel_log: JoinHandle<()>,
    interrupts: Interrupts,
}

impl Live {
    /// Starts the machine: it boots, or goes on where a snapshot was taken.
    pub(super) async fn start(mut prepared: Prepared, total: Instant) -> Result<Self, Trouble> {
        let snapshot = match &prepared.start {
            Start::Restore(snapshot) => Some(snapshot.clone()),
            Start::Boot(_) => None,
        };
        prepared.plan.restore = snapshot.as_ref().map(|s| s.machine().firmware);
        prepared.spec.start = snapshot.as_ref().map_or(MachineStart::Boot, |s| machine_start(&prepared.spec, s));
        if snapshot.is_none() {
            prepared.spec.tsc_khz = if prepared.spec.deterministic { Some(DETERMINISTIC_TSC_KHZ) } else { tsc::khz() };
        }
        prepared.write_plan()?;
        let check = snapshot.as_ref().map(Snapshot::check);
        let interrupts = Interrupts::listen().map_err(|e| {
            Trouble::environment(format!("cannot take over signals: {e}"), "start the rig from an ordinary shell")
        })?;
        let ring_path = prepared.runtime.path(RING);
        let ring = Ring::create(&ring_path, RING_CAPACITY).map_err(|e| Trouble::file("make", &ring_path, &e))?;
        let past = snapshot.as_ref().map(|s| Past { events: s.file(EVENTS), log: s.file(KERNEL_LOG) });
        let server = match prepared.backing.bridge {
            Bridge::Plugin => None,
            Bridge::Mailbox => Some(start_server(&mut prepared)?),
        };
        let folder = &prepared.folder;
        folder.write("qemu.txt", command_text(&prepared.qemu, &prepared.spec, &prepared.runtime) + "\n")?;
        let observer = Observer::start(
            ring,
            &folder.file("events.bin"),
            &folder.file("kmsg.log"),
            prepared.setup.clone(),
            past.as_ref(),
            prepared.orders.clone(),
        );
        let help = "check the space on that file system, or choose another place with --out";
        let observer = observer.map_err(|e| Trouble::environment(e.to_string(), help))?;
        let started = Instant::now();
        let (kmsg, lines) = kernel_log();
        let kernel_lines = Arc::new(AtomicU64::new(0));
        let kernel_log = tokio::spawn(pass_kernel_log(lines, observer.lines(), Arc::clone(&kernel_lines)));
        let started_machine =
            Machine::start(clone_command(&prepared.qemu), &prepared.spec, &prepared.runtime, &folder.file("qemu.log"))
                .await;
        // What a damaged snapshot makes of QEMU says less than that it is damaged.
        if let Some(check) = check {
            check.join().expect("the check does not panic")?;
        }
        let (machine, agent) = started_machine?;
        if !prepared.spec.deterministic {
            observer.watch_host(machine.process.gauge());
        }
        let emulator = match server {
            Some(server) => Emulator::of_mailbox(server),
            None => Emulator::connect(&prepared.runtime.path(CONTROL))
                .await
                .map_err(|e| Trouble::environment(e.to_string(), "see qemu.log in the run folder"))?,
        };
        let guest = match &snapshot {
            Some(snapshot) => {
                let help = "boot with --cold; if that works, remove the snapshot with `cargo rig images clean`";
                if let Some(monitors) = &machine.monitors {
                    let loaded = snapshot.machine().load(monitors, &emulator).await;
                    loaded.map_err(|e| Trouble::environment(e.to_string(), help))?;
                }
                Guest::restored(agent, kmsg, snapshot.note.ready.clone())
            }
            None => Guest::new(agent, kmsg),
        };
        Ok(Self { prepared, total, started, machine, guest, emulator, observer, kernel_lines, kernel_log, interrupts })
    }

    /// Boots the machine of `prepared` and saves it in `folder`, with what was recorded meanwhile.
    pub(super) async fn make_snapshot(prepared: &Prepared, folder: &Path, inputs: Value) -> Result<(), NoSnapshot> {
        let mut boot = prepared.again(RunFolder::existing(folder))?;
        boot.plan.firmware = boot_config(&boot.plan.firmware);
        boot.plan.schedules.clear();
        boot.spec.monitored = true;
        boot.scenario.budget.stall_cpu_s = StallBudget::of_boot(boot.scenario.cpus, boot.scenario.budget.stall_cpu_s);
        let live = Self::start(boot, Instant::now()).await?;
        let mut told = Told::default();
        let say = |_: &str| {};
        let drive = live.driver(&say);
        live.until_ended(drive.boot(&mut told)).await.map_err(|stop| no_snapshot(&stop, &told))?;
        let ready = told.ready.clone().ok_or_else(|| cannot_save("the agent is not ready"))?;
        live.until_ended(drive.rest()).await.map_err(|stop| no_snapshot(&stop, &told))?;
        live.save(&SavedMachine::within(folder)).await?;
        if live.guest.is_within_frame() {
            return Err(cannot_save("the agent was in the middle of a message").into());
        }
        drop(live.machine);
        let _ = tokio::time::timeout(GRACE, live.kernel_log).await;
        let observed = live.observer.finish(RunEnd::Stopped);
        if let Some(breach) = observed.findings.breaches().first() {
            return Err(cannot_save(breach.summary()).into());
        }
        if let Some(why) = observed.findings.infrastructure {
            return Err(cannot_save(why).into());
        }
        if let RunEnd::Lost { cause } = observed.end {
            return Err(cannot_save(cause).into());
        }
        check_boot_leaves(&folder.join(EVENTS))?;
        let note = Note::new(inputs, folder, ready, (told.absent, told.refused));
        Ok(note?.write(folder)?)
    }

    /// Saves a deterministic machine as it runs, since nothing may have to tell it to go on, and any other while it stands.
    async fn save(&self, place: &SavedMachine) -> Result<(), Trouble> {
        let monitors = self.machine.monitors.as_ref().ok_or_else(|| cannot_save("it has no monitor"))?;
        if !self.prepared.plan.deterministic {
            return place.save(monitors, &self.emulator).await.map_err(cannot_save);
        }
        self.emulator.ask(&Control::Park).await.map_err(cannot_save)?;
        self.guest.request(Command::Ping).await.map_err(cannot_save)?;
        place.save_running(monitors, &self.emulator).await.map_err(cannot_save)
    }

    async fn conduct(self, progress: &Progress) -> Result<Verdict, Trouble> {
        let mut told = Told::default();
        let stop = self.drive(&mut told, progress).await;
        if let Stop::Alarm(Alarm::Breach(breach)) = &stop {
            progress.say(&breach.summary());
        }
        Box::pin(self.end(stop, told)).await
    }

    /// Ends the machine and judges how it came to its end.
    pub(super) async fn end(self, stop: Stop, told: Told) -> Result<Verdict, Trouble> {
        let (mut autopsy, mut module_in_firmware) = (None, None);
        let end = match &stop {
            Stop::Finished => RunEnd::Finished,
            Stop::Alarm(Alarm::Breach(_)) => {
                module_in_firmware = diagnose::module_in_firmware(&self.emulator).await;
                RunEnd::Stopped
            }
            Stop::Alarm(Alarm::Lost(cause)) => RunEnd::Lost { cause: format!("{cause}, while {}", told.doing) },
            Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) => {
                autopsy = Some(examine(&self.machine, &self.guest, &self.emulator, &self.prepared.symbols).await);
                RunEnd::Hung { what: format!("{what}, while {}", told.doing) }
            }
            Stop::Exited(status) => self.end_of_exit(*status, &told).await,
            Stop::Drive(error) => RunEnd::Lost { cause: error.to_string() },
            Stop::Interrupted => {
                self.orderly_end().await;
                RunEnd::Lost { cause: format!("interrupted, while {}", told.doing) }
            }
        };
        self.judge(&stop, end, (autopsy, module_in_firmware), told).await
    }

    /// Drives the scenario until something ends it.
    async fn drive(&self, told: &mut Told, progress: &Progress) -> Stop {
        let say = |doing: &str| progress.say(doing);
        let drive = self.driver(&say);
        match self.until_ended(drive.run(told)).await {
            Ok(()) => self.power_off(self.budget()).await,
            Err(stop) => stop,
        }
    }

    pub(super) fn driver<'a>(&'a self, say: &'a (dyn Fn(&str) + Sync)) -> Drive<'a> {
        Drive {
            guest: &self.guest,
            emulator: &self.emulator,
            scenario: &self.prepared.scenario,
            modules: &self.prepared.modules,
            placing: self.prepared.placing.as_ref(),
            started: self.started,
            saved: match &self.prepared.start {
                Start::Restore(snapshot) => Some(&snapshot.note),
                Start::Boot(_) => None,
            },
            say,
        }
    }

    fn budget(&self) -> StallBudget {
        StallBudget::for_machine(self.prepared.scenario.cpus, self.prepared.scenario.budget.stall_cpu_s)
    }

    /// Waits for `work`, unless the observer, a person, a stall or the end of QEMU ends it.
    pub(super) async fn until_ended(&self, work: impl Future<Output = Result<(), DriveError>>) -> Result<(), Stop> {
        let watched = self.watched();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => match done {
                Err(error) if error.is_gone() => Err(self.exit_or(error).await),
                done => done.map_err(Stop::Drive),
            },
            alarm = self.alarm() => Err(Stop::Alarm(alarm)),
            () = self.interrupts.reached(1) => Err(Stop::Interrupted),
            () = self.emulator.failed() => Err(Stop::Drive(DriveError::Emulator)),
            stop = watched.stalled(self.budget()) => Err(stop),
            status = self.machine.process.exited() => match tokio::time::timeout(GRACE, work).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(stop_of_exit(status)),
            },
        }
    }

    /// What ends the run early. A deterministic machine goes on to a place of its own choice, or its timeline would end where
    /// the host was just then.
    async fn alarm(&self) -> Alarm {
        match self.observer.alarm().await {
            Alarm::Breach(_) if self.prepared.plan.deterministic => std::future::pending().await,
            alarm => alarm,
        }
    }

    /// What ends even a run that is about to end. An invariant that broke is told when the machine is off.
    async fn alarm_of_end(&self) -> Alarm {
        match self.observer.alarm().await {
            Alarm::Breach(_) => std::future::pending().await,
            alarm => alarm,
        }
    }

    fn watched(&self) -> Watched<'_> {
        Watched {
            machine: &self.machine,
            guest: &self.guest,
            observer: &self.observer,
            kernel_lines: &self.kernel_lines,
            console: &self.prepared.spec.console,
            evidence: self.evidence(),
            started: self.started,
        }
    }

    fn evidence(&self) -> Bound {
        // What QEMU itself writes has bounds of its own.
        let files = ["events.bin", "kmsg.log"].map(|name| self.prepared.folder.file(name));
        Bound::of(files.to_vec(), self.prepared.scenario.budget.evidence_mb)
    }

    /// Waits for the machine to be off after it was asked to.
    async fn power_off(&self, budget: StallBudget) -> Stop {
        let watched = self.watched();
        tokio::select! {
            biased;
            _ = self.machine.process.exited() => match self.observer.alarmed() {
                Some(alarm) => Stop::Alarm(alarm),
                None => Stop::Finished,
            },
            () = self.interrupts.reached(1) => Stop::Interrupted,
            alarm = self.alarm_of_end() => Stop::Alarm(alarm),
            stop = watched.stalled(budget) => stop,
        }
    }

    /// The channel closed; QEMU's exit, if it follows, says more.
    async fn exit_or(&self, error: DriveError) -> Stop {
        match tokio::time::timeout(EXIT_GRACE, self.machine.process.exited()).await {
            Ok(status) => stop_of_exit(status),
            Err(_) => Stop::Drive(error),
        }
    }

    async fn end_of_exit(&self, status: crate::machine::Exit, told: &Told) -> RunEnd {
        let panic = panic_line(&crate::machine::logs::read(&self.prepared.spec.console));
        match (self.machine.shutdown_reason().await, panic) {
            (Some(ShutdownReason::Reset), Some(line)) => {
                RunEnd::Crashed { what: format!("{line}, while {}", told.doing) }
            }
            (Some(ShutdownReason::Reset), None) => {
                RunEnd::Crashed { what: format!("the guest reset itself without a word, while {}", told.doing) }
            }
            (Some(ShutdownReason::PowerOff), _) => {
                RunEnd::Lost { cause: format!("the guest powered itself off, while {}", told.doing) }
            }
            (None, Some(line)) if status.success() => RunEnd::Crashed { what: format!("{line}, while {}", told.doing) },
            (_, _) => {
                let words = self.machine.last_words().map(|w| format!(": {w}")).unwrap_or_default();
                RunEnd::Lost { cause: format!("QEMU died ({status}), while {}{words}", told.doing) }
            }
        }
    }

    /// Whether the timeline ends where the host happened to be.
    fn is_ended_by_host(&self, stop: &Stop) -> bool {
        match stop {
            Stop::Finished | Stop::Alarm(Alarm::Breach(_)) | Stop::Exited(_) => false,
            Stop::Stalled(_) => self.machine.process.status().is_none(),
            Stop::Alarm(Alarm::Lost(_) | Alarm::Hung(_)) | Stop::Drive(_) | Stop::Interrupted => true,
        }
    }

    /// Lets the guest power off, unless that takes long or Ctrl-C comes again.
    async fn orderly_end(&self) {
        let off = async {
            let _ = self.guest.request(Command::PowerOff).await;
            self.machine.process.exited().await
        };
        tokio::select! {
            _ = off => {}
            () = tokio::time::sleep(ORDERLY) => {}
            () = self.interrupts.reached(2) => {}
        }
    }

    /// Ends the machine, judges, and writes the verdict.
    async fn judge(
        self,
        stop: &Stop,
        end: RunEnd,
        (autopsy, module_in_firmware): (Option<Autopsy>, Option<String>),
        told: Told,
    ) -> Result<Verdict, Trouble> {
        let repeats = self.prepared.plan.deterministic && !self.is_ended_by_host(stop);
        drop(self.machine);
        // With the machine the agent's channel ends, and with it, once all lines are read, the log.
        let _ = tokio::time::timeout(GRACE, self.kernel_log).await;
        if matches!(end, RunEnd::Crashed { .. }) {
            // The agent could not send the last lines of the kernel's log; the serial console has them.
            let console = crate::machine::logs::read(&self.prepared.spec.console);
            let lines = self.observer.lines();
            console.lines().for_each(|line| lines.line(KernelLine::parse_console(line)));
        }
        let observed = self.observer.finish(end);
        let diagnosis = autopsy.map(|autopsy| {
            let what = if let Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) = stop { what.as_str() } else { "" };
            diagnosis(what, &autopsy, &observed, &Decoder::new(&self.prepared.setup))
        });
        let Observed { end, findings, digest, .. } = observed;
        let digest = repeats.then_some(digest);
        let (machine, total) = (self.started.elapsed(), self.total.elapsed());
        let interrupted = matches!(stop, Stop::Interrupted);
        let evidence =
            Evidence { told, end, interrupted, findings, digest, diagnosis, module_in_firmware, machine, total };
        conclude(&self.prepared, &evidence)
    }
}

/// Starts to serve the machine's SEAMCALLs, and tells its command line where.
fn start_server(prepared: &mut Prepared) -> Result<Server, Trouble> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (cpus, memory_mib) = (prepared.spec.cpus as usize, prepared.spec.memory_mib);
    let spec = ServerSpec {
        cpus,
        ram_bytes: (memory_mib as usize) << 20,
        ram: memory::ranges(memory_mib),
        socket: prepared.runtime.path(MAILBOX),
        spins: cpus < cores,
    };
    let help = "check the host's memory and its limits (ulimit -a); --backend tcg needs no mailbox";
    let server = Server::start(&prepared.plan, &spec).map_err(|e| Trouble::environment(e.to_string(), help))?;
    prepared.spec.mailbox = Some(MailboxDevice { ram: server.ram_path(), socket: spec.socket });
    Ok(server)
}

/// How a machine goes on from a snapshot: by itself where nobody may touch it.
fn machine_start(spec: &MachineSpec, snapshot: &Snapshot) -> MachineStart {
    if spec.deterministic { MachineStart::Load(snapshot.machine().qemu) } else { MachineStart::Wait }
}

/// A deterministic machine ends itself when it makes no progress.
fn stop_of_exit(status: crate::machine::Exit) -> Stop {
    match status.code() {
        Some(STALLED_EXIT_CODE) => Stop::Stalled("CPUs spin in the update, and none makes progress".into()),
        _ => Stop::Exited(status),
    }
}

async fn pass_kernel_log(mut records: LogLines, judge: Lines, count: Arc<AtomicU64>) {
    while let Some(record) = records.recv().await {
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(line) = KernelLine::parse(&record) {
            judge.line(line);
        }
    }
}

fn cannot_save(why: impl std::fmt::Display) -> Trouble {
    Trouble::environment(format!("the booted machine cannot be saved: {why}"), "boot with --cold")
}

/// Why a machine that boots for a snapshot did not get there.
fn no_snapshot(stop: &Stop, told: &Told) -> NoSnapshot {
    let why = match stop {
        Stop::Interrupted => return NoSnapshot::Interrupted,
        Stop::Alarm(Alarm::Breach(breach)) => breach.summary(),
        Stop::Alarm(Alarm::Lost(cause) | Alarm::Hung(cause)) | Stop::Stalled(cause) => cause.clone(),
        Stop::Drive(error) => error.to_string(),
        Stop::Exited(status) => format!("QEMU ended ({status})"),
        Stop::Finished => "it ended".into(),
    };
    cannot_save(format!("{why}, while {}", told.doing)).into()
}

/// Snapshots are shared between runs whose faults strike in updates only; so the boot must be free of updates.
fn check_boot_leaves(events: &Path) -> Result<(), Trouble> {
    let records = EventsReader::open(events).map_err(cannot_save)?;
    for record in records {
        let record = record.map_err(cannot_save)?;
        let leaf = Leaf::of(&record);
        if record.kind == Kind::SeamcallEnter as u16 && ONLY_IN_UPDATES.iter().any(|(only, _)| *only == leaf) {
            return Err(cannot_save(format!("the boot called {}", leaf.name())));
        }
    }
    Ok(())
}
