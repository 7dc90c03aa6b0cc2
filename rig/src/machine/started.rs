//! A machine that was started: its process and the channels to it.

use super::child;
use super::command::{AGENT_SOCKET, MachineSpec, MachineStart, QMP_SOCKET, RAW_QMP_SOCKET, arguments, shell_line};
use super::failure::{died_at_start, meaningful};
use super::logs::{self, BoundedLogs};
use super::process::Process;
use super::qmp::{Qmp, QmpError, QmpEvent, RawQmp, START_LIMIT};
use super::sockets::RuntimeDir;
use crate::trouble::Trouble;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

/// Host time within which an event that QEMU sent has been read.
const EVENT_LIMIT: Duration = Duration::from_millis(500);

/// Why QEMU ended the machine, by its SHUTDOWN event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The guest powered off.
    PowerOff,
    /// The guest reset itself, which here only a panic or a triple fault does.
    Reset,
    /// Any other reason, as QEMU names it.
    Other(String),
}

/// A running machine. Dropping it kills it.
pub struct Machine {
    /// QEMU's process.
    pub process: Process,
    /// Its monitors; none: it runs untouched.
    pub monitors: Option<Monitors>,
    stderr: PathBuf,
    /// Dropped behind the process, which writes them.
    _logs: BoundedLogs,
}

/// The ways to ask QEMU.
pub struct Monitors {
    /// The typed monitor.
    pub qmp: Qmp,
    /// The raw monitor.
    pub raw: RawQmp,
    shutdown: watch::Receiver<Option<ShutdownReason>>,
}

impl Machine {
    /// Starts `qemu` with the arguments of `spec`, its output in `stderr`; returns the channel of the agent's port too.
    pub async fn start(
        qemu: Command,
        spec: &MachineSpec,
        runtime: &RuntimeDir,
        stderr: &Path,
    ) -> Result<(Self, UnixStream), Trouble> {
        let agent = runtime.listen(AGENT_SOCKET)?;
        let sockets =
            if spec.monitored { Some((runtime.listen(QMP_SOCKET)?, runtime.listen(RAW_QMP_SOCKET)?)) } else { None };
        let program = qemu.get_program().to_owned();
        let logs = BoundedLogs::keep(vec![spec.console.clone(), stderr.to_owned()]);
        let logs =
            logs.map_err(|e| Trouble::environment(format!("cannot start a thread: {e}"), "check `ulimit -a`"))?;
        let process = Process::start(command(qemu, spec, runtime, stderr)?).map_err(|e| {
            let help = "check that the program exists and may be executed";
            Trouble::environment(format!("cannot start {}: {e}", program.display()), help)
        })?;
        let connect = async {
            let monitors = async {
                match &sockets {
                    Some((qmp, raw)) => Monitors::connect(qmp, raw).await.map(Some),
                    None => Ok(None),
                }
            };
            tokio::try_join!(monitors, accept(&agent))
        };
        let connected = tokio::select! {
            connected = connect => connected.map_err(|e: QmpError| e.to_string()),
            exit = process.exited() => return Err(died_at_start(exit, &logs::read(stderr))),
            () = tokio::time::sleep(2 * START_LIMIT) => Err("QEMU opened no channel".to_owned()),
        };
        let (monitors, agent) = match connected {
            Ok(connected) => connected,
            Err(why) => return Err(no_channel(&process, stderr, &why).await),
        };
        Ok((Self { process, monitors, stderr: stderr.to_owned(), _logs: logs }, agent))
    }

    /// Why QEMU ended the machine, if it said so. To be asked when the process has ended: the event was sent before.
    pub async fn shutdown_reason(&self) -> Option<ShutdownReason> {
        let mut shutdown = self.monitors.as_ref()?.shutdown.clone();
        let said = tokio::time::timeout(EVENT_LIMIT, shutdown.wait_for(Option::is_some)).await;
        said.ok()?.ok()?.clone()
    }

    /// QEMU's last message that is not expected, if any.
    pub fn last_words(&self) -> Option<String> {
        meaningful(&logs::read(&self.stderr))
    }
}

impl Monitors {
    async fn connect(qmp: &UnixListener, raw: &UnixListener) -> Result<Self, QmpError> {
        let (qmp, raw) = tokio::try_join!(accept(qmp), accept(raw))?;
        let qmp = Qmp::negotiate(qmp).await?;
        let (raw, events) = RawQmp::negotiate(raw).await?;
        let (reason, shutdown) = watch::channel(None);
        tokio::spawn(watch_shutdown(events, reason));
        Ok(Self { qmp, raw, shutdown })
    }
}

/// The command line of `spec`, as a shell would take it.
pub fn command_text(qemu: &Command, spec: &MachineSpec, runtime: &RuntimeDir) -> String {
    let mut command = Command::new(qemu.get_program());
    command.args(qemu.get_args()).args(arguments(spec, runtime));
    shell_line(&command)
}

fn command(mut qemu: Command, spec: &MachineSpec, runtime: &RuntimeDir, stderr: &Path) -> Result<Command, Trouble> {
    let failed = |e| Trouble::file("make", stderr, &e);
    let log = File::create(stderr).map_err(failed)?;
    let both = log.try_clone().map_err(failed)?;
    if spec.start != MachineStart::Boot {
        child::map_small_pages(&mut qemu);
    }
    qemu.args(arguments(spec, runtime)).stdin(Stdio::null()).stdout(both).stderr(log);
    Ok(qemu)
}

async fn accept(listener: &UnixListener) -> Result<UnixStream, QmpError> {
    Ok(listener.accept().await?.0)
}

/// Finds out whether QEMU runs, or ended before its channels were there.
async fn no_channel(process: &Process, stderr: &Path, why: &str) -> Trouble {
    match tokio::time::timeout(Duration::from_secs(1), process.exited()).await {
        Ok(exit) => died_at_start(exit, &logs::read(stderr)),
        Err(_) => Trouble::environment(why.to_owned(), "see qemu.log in the run folder; is the host overloaded?"),
    }
}

async fn watch_shutdown(mut events: mpsc::UnboundedReceiver<QmpEvent>, reason: watch::Sender<Option<ShutdownReason>>) {
    while let Some(event) = events.recv().await {
        if event.name == "SHUTDOWN" {
            reason.send_replace(Some(match event.data["reason"].as_str() {
                Some("guest-shutdown") => ShutdownReason::PowerOff,
                Some("guest-reset") => ShutdownReason::Reset,
                other => ShutdownReason::Other(other.unwrap_or("unknown").to_owned()),
            }));
        }
    }
}
