//! The outer machine while it runs: what is asked of it, what is brought out of it, and why it went away if it does.

use super::lost::{Loss, oom_kills};
use super::outer::Outer;
use crate::guest::{Guest, GuestError, LogLines, kernel_log, panic_line};
use crate::machine::sockets::RuntimeDir;
use crate::machine::{EXIT_GRACE, Machine, clone_command, logs};
use crate::trouble::Trouble;
use rig_wire::agent::{Answer, Command, EVIDENCE, Executed};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bounds: on the outer boot, and on each program in it.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
const PROGRAM_LIMIT: Duration = Duration::from_secs(400);
/// Bound on bringing out the evidence of a run, and on the last lines of the log.
const EVIDENCE_LIMIT: Duration = Duration::from_secs(30);
const LOG_GRACE: Duration = Duration::from_secs(2);
/// The files of a run that show why it ended.
const BROUGHT: [&str; 9] = [
    "verdict.json",
    "events.bin",
    "kmsg.log",
    "console.log",
    "qemu.log",
    "qemu.txt",
    "plan.json",
    "manifest.json",
    "report.html",
];
/// What it leaves itself.
const QEMU_LOG: &str = "qemu.log";
const KERNEL_LOG: &str = "kmsg.log";
/// Its registers, where it says nothing any more.
const REGISTERS: &str = "registers.txt";

/// An outer machine that was started.
pub(super) struct Running<'a> {
    outer: &'a Outer,
    /// Its sockets, which end with it.
    _runtime: RuntimeDir,
    machine: Machine,
    guest: Guest,
    log: JoinHandle<()>,
    oom_kills: Option<u64>,
}

impl<'a> Running<'a> {
    /// Starts it and waits for its agent.
    pub(super) async fn start(outer: &'a Outer) -> Result<Self, Trouble> {
        let qemu = clone_command(&outer.qemu);
        let (folder, runtime) = (&outer.folder, RuntimeDir::create()?);
        let (machine, agent) = Machine::start(qemu, &outer.spec, &runtime, &folder.file(QEMU_LOG)).await?;
        let (kmsg, lines) = kernel_log();
        let log = tokio::spawn(keep(lines, folder.create_file(KERNEL_LOG)?));
        let running =
            Self { outer, _runtime: runtime, machine, guest: Guest::new(agent, kmsg), log, oom_kills: oom_kills() };
        match timeout(BOOT_LIMIT, running.guest.ready()).await {
            Err(_) => Err(running.silent("booting", BOOT_LIMIT).await),
            Ok(Err(error)) => Err(running.failed("booting", error).await),
            Ok(Ok(_)) => Ok(running),
        }
    }

    /// Asks its agent for something.
    pub(super) async fn ask(&self, doing: &str, command: Command) -> Result<Answer, Trouble> {
        match timeout(PROGRAM_LIMIT, self.guest.request(command)).await {
            Err(_) => Err(self.silent(doing, PROGRAM_LIMIT).await),
            Ok(Err(error)) => Err(self.failed(doing, error).await),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// Runs a program in it to its end.
    pub(super) async fn execute(
        &self,
        doing: &str,
        program: &str,
        arguments: Vec<String>,
    ) -> Result<Executed, Trouble> {
        match self.ask(doing, Command::Execute { program: program.into(), arguments }).await? {
            Answer::Executed(executed) => Ok(executed),
            other => Err(self.failed(doing, GuestError::Unexpected(Box::new(other))).await),
        }
    }

    /// Where a run in it leaves its evidence.
    pub(super) fn evidence(name: &str) -> String {
        format!("{EVIDENCE}/nested/{name}")
    }

    /// Copies the evidence of a run in it into a folder of the run folder, as far as it can be read.
    pub(super) async fn bring(&self, name: &str) -> Result<PathBuf, Trouble> {
        let folder = self.outer.folder.file(name);
        std::fs::create_dir_all(&folder).map_err(|e| Trouble::file("make", &folder, &e))?;
        for file in BROUGHT {
            let path = format!("{}/{file}", Self::evidence(name));
            let fetched = timeout(EVIDENCE_LIMIT, self.guest.fetch(&path)).await;
            if let Ok(Ok(Some(bytes))) = fetched {
                self.outer.folder.write(&format!("{name}/{file}"), bytes)?;
            }
        }
        Ok(folder)
    }

    /// Ends it. It has no file system of its own that would suffer.
    pub(super) async fn end(self) {
        let Self { machine, guest, log, .. } = self;
        drop((guest, machine));
        // The evidence is a help, not the outcome.
        let _ = timeout(LOG_GRACE, log).await;
    }

    async fn failed(&self, doing: &str, error: GuestError) -> Trouble {
        if !matches!(error, GuestError::Gone) {
            let help = "read console.log and kmsg.log in the run folder";
            return Trouble::environment(format!("the outer machine, while {doing}: {error}"), help);
        }
        let status = timeout(EXIT_GRACE, self.machine.process.exited()).await.ok();
        let reason = if status.is_some() { self.machine.shutdown_reason().await } else { None };
        let loss = Loss {
            status,
            reason,
            panic: panic_line(&logs::read(&self.outer.spec.console)),
            words: self.machine.last_words(),
            oom_kills: oom_kills().zip(self.oom_kills).map_or(0, |(now, before)| now.saturating_sub(before)),
        };
        loss.trouble(doing)
    }

    /// The machine does not answer any more; its registers may show why.
    async fn silent(&self, doing: &str, limit: Duration) -> Trouble {
        if let Some(monitors) = &self.machine.monitors
            && let Ok(Ok(registers)) = timeout(EVIDENCE_LIMIT, monitors.qmp.human("info registers -a")).await
        {
            // The evidence is a help, not the outcome.
            let _ = self.outer.folder.write(REGISTERS, registers);
        }
        let cause = format!("the outer machine says nothing for {} s, while {doing}", limit.as_secs());
        let help = "read console.log, kmsg.log and registers.txt in the run folder; is the host overloaded?";
        Trouble::environment(cause, help)
    }
}

/// The outer kernel's log, for the evidence, line by line, since each may be the last one.
async fn keep(mut lines: LogLines, mut file: File) {
    while let Some(line) = lines.recv().await {
        // The evidence is a help, not the outcome.
        let _ = writeln!(file, "{line}");
    }
}
