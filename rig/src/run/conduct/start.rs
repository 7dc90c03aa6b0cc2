//! The start of a prepared machine: it boots, or goes on where a snapshot was taken.

use super::interrupt::Interrupts;
use super::launch::Launch;
use super::observer::{Lines, Observer, Past, RING_CAPACITY};
use super::running_machine::RunningMachine;
use super::snapshot::saved::Snapshot;
use crate::guest::{Guest, KernelLine, LogLines, kernel_log};
use crate::machine::command::{MachineStart, MailboxDevice};
use crate::machine::control::Emulator;
use crate::machine::{Machine, clone_command, command_text, memory, tsc};
use crate::run::folder::{EVENTS, KERNEL_LOG};
use crate::run::prepare::backend::Bridge;
use crate::run::prepare::machine::{CONTROL, MAILBOX, MachineParts, RING};
use crate::run::prepare::subject::SubjectParts;
use crate::run::record::description::RunDescription;
use crate::trouble::Trouble;
use rig_wire::ring::Ring;
use seam_mailbox::{Server, ServerSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The time-stamp counter of a deterministic guest counts nanoseconds of its virtual time (`cpus_get_elapsed_ticks()` of QEMU).
const DETERMINISTIC_TSC_KHZ: u32 = 1_000_000;

/// Starts the machine: it boots, or goes on where a snapshot was taken.
pub(crate) async fn start(
    (description, mut parts, subject): (RunDescription, MachineParts, SubjectParts),
    launch: Launch,
) -> Result<RunningMachine, Trouble> {
    let snapshot = launch.start.snapshot();
    let folder = &description.folder;
    set_start(&mut parts, snapshot);
    parts.write_plan(folder)?;
    let check = snapshot.map(Snapshot::check);
    let interrupts = Interrupts::listen().map_err(|e| {
        Trouble::environment(format!("cannot take over signals: {e}"), "start the rig from an ordinary shell")
    })?;
    let ring_path = parts.runtime.path(RING);
    let ring = Ring::create(&ring_path, RING_CAPACITY).map_err(|e| Trouble::file("make", &ring_path, &e))?;
    let server = match parts.bridge {
        Bridge::Plugin => None,
        Bridge::Mailbox => Some(start_server(&mut parts)?),
    };
    folder.write("qemu.txt", command_text(&parts.qemu, &parts.spec, &parts.runtime) + "\n")?;
    let observer = start_observer(&description, &launch, ring)?;
    let started = Instant::now();
    let (kmsg, lines) = kernel_log();
    let kernel_lines = Arc::new(AtomicU64::new(0));
    let kernel_log = tokio::spawn(pass_kernel_log(lines, observer.lines(), Arc::clone(&kernel_lines)));
    let qemu = clone_command(&parts.qemu);
    let started_machine = Machine::start(qemu, &parts.spec, &parts.runtime, &folder.file("qemu.log")).await;
    // What a damaged snapshot makes of QEMU says less than that it is damaged.
    if let Some(check) = check {
        check.join().expect("the check does not panic")?;
    }
    let (machine, agent) = started_machine?;
    if !parts.spec.deterministic {
        observer.watch_host(machine.process.gauge());
    }
    let emulator = connect(server, &parts).await?;
    let guest = match snapshot {
        Some(snapshot) => {
            load(snapshot, &machine, &emulator).await?;
            Guest::restored(agent, kmsg, snapshot.note.ready.clone())
        }
        None => Guest::new(agent, kmsg),
    };
    Ok(RunningMachine {
        description,
        parts,
        subject,
        launch,
        started,
        machine,
        guest,
        emulator,
        observer,
        kernel_lines,
        kernel_log,
        interrupts,
    })
}

/// How the machine comes up. From a snapshot it goes on by itself where nothing may touch it.
fn set_start(parts: &mut MachineParts, snapshot: Option<&Snapshot>) {
    parts.plan.restore = snapshot.map(|s| s.machine().firmware);
    parts.spec.start = match snapshot {
        Some(snapshot) if parts.spec.deterministic => MachineStart::Load(snapshot.machine().qemu),
        Some(_) => MachineStart::Wait,
        None => MachineStart::Boot,
    };
    if snapshot.is_none() {
        parts.spec.tsc_khz = if parts.spec.deterministic { Some(DETERMINISTIC_TSC_KHZ) } else { tsc::khz() };
    }
}

/// Starts to record and to judge, after what a snapshot recorded of its boot.
fn start_observer(description: &RunDescription, launch: &Launch, ring: Ring) -> Result<Observer, Trouble> {
    let past = launch.start.snapshot().map(|s| Past { events: s.file(EVENTS), log: s.file(KERNEL_LOG) });
    let observer = Observer::start(
        ring,
        &description.folder.file(EVENTS),
        &description.folder.file(KERNEL_LOG),
        description.setup.clone(),
        past.as_ref(),
        launch.orders.clone(),
    );
    let help = "check the space on that file system, or choose another place with --out";
    observer.map_err(|e| Trouble::environment(e.to_string(), help))
}

/// Starts to serve the machine's SEAMCALLs, and puts the server's device into its command line.
fn start_server(parts: &mut MachineParts) -> Result<Server, Trouble> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (cpus, memory_mib) = (parts.spec.cpus as usize, parts.spec.memory_mib);
    let spec = ServerSpec {
        cpus,
        ram_bytes: (memory_mib as usize) << 20,
        ram: memory::ranges(memory_mib),
        socket: parts.runtime.path(MAILBOX),
        spins: cpus < cores,
    };
    let help = "check the host's memory and its limits (ulimit -a); --backend tcg needs no mailbox";
    let server = Server::start(&parts.plan, &spec).map_err(|e| Trouble::environment(e.to_string(), help))?;
    parts.spec.mailbox = Some(MailboxDevice { ram: server.ram_path(), socket: spec.socket });
    Ok(server)
}

/// The emulator: the plugin in QEMU, or the server of the mailbox here.
async fn connect(server: Option<Server>, parts: &MachineParts) -> Result<Emulator, Trouble> {
    match server {
        Some(server) => Ok(Emulator::of_mailbox(server)),
        None => Emulator::connect(&parts.runtime.path(CONTROL))
            .await
            .map_err(|e| Trouble::environment(e.to_string(), "see qemu.log in the run folder")),
    }
}

/// Loads the snapshot into the machine, unless QEMU does that itself: a deterministic machine has no monitor.
async fn load(snapshot: &Snapshot, machine: &Machine, emulator: &Emulator) -> Result<(), Trouble> {
    let help = "boot with --cold; if that works, remove the snapshot with `cargo rig images clean`";
    match &machine.monitors {
        Some(monitors) => {
            let loaded = snapshot.machine().load(monitors, emulator).await;
            loaded.map_err(|e| Trouble::environment(e.to_string(), help))
        }
        None => Ok(()),
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
