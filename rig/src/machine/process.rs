//! QEMU's process. A thread that runs as long as it starts it, waits for its end, and never leaves it behind.

use super::child::die_with_thread;
use super::exit::QemuExit;
use super::gauge::Gauge;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use tokio::sync::watch;

/// A running QEMU. Dropping it kills its process group and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    running: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<QemuExit>>,
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the command in a process group of its own, so that a terminal's Ctrl-C reaches the rig only.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let running = Arc::new(Mutex::new(true));
        let (started, pid) = mpsc::channel();
        let (exit_sender, exit) = watch::channel(None);
        let shared = Arc::clone(&running);
        command.process_group(0);
        die_with_thread(&mut command);
        let keeper = thread::Builder::new().name("qemu-keeper".into()).spawn(move || match command.spawn() {
            Ok(mut child) => {
                let pid = Pid::from_raw(child.id().cast_signed());
                // The caller that started QEMU waits for the first message; the receiver of the second may be gone.
                let _ = started.send(Ok(pid));
                let _ = exit_sender.send(Some(wait(pid, &mut child, &shared)));
            }
            Err(e) => {
                let _ = started.send(Err(e));
            }
        })?;
        let pid = pid.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { pid, running, exit, keeper: Some(keeper) })
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Waits until it has ended.
    pub async fn exited(&self) -> QemuExit {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.map(|s| *s);
        status.ok().flatten().unwrap_or(QemuExit::Unknown(Errno::ECHILD))
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<QemuExit> {
        *self.exit.borrow()
    }

    /// Kills its process group, if it still runs.
    pub fn kill(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// CPU time that it has used, milliseconds, all threads; none when it is gone.
    pub fn cpu_ms(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        cpu_ms_of(&stat)
    }

    /// What the host's scheduler can be asked about it.
    pub fn gauge(&self) -> Gauge {
        Gauge::new(self.pid)
    }
}

/// Waits for the end of `child`, and reaps it.
fn wait(pid: Pid, child: &mut Child, running: &Mutex<bool>) -> QemuExit {
    let waited = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            waited => break waited,
        }
    };
    // The pid stays ours until it is reaped, and it is reaped under the lock that `kill` takes.
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    *running = false;
    match waited {
        Ok(_) => child.wait().map_or_else(
            |error| QemuExit::Unknown(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
            QemuExit::Known,
        ),
        // Another thread reaped it, or the kernel did, because SIGCHLD was ignored when the rig was started.
        Err(errno) => QemuExit::Unknown(errno),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// utime + stime of a line of `/proc/PID/stat` (`proc_pid_stat(5)`), which counts in ticks of 10 ms on every Linux here.
fn cpu_ms_of(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some((utime + stime) * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).unwrap()
    }

    fn is_alive(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|s| !s[s.rfind(')').unwrap()..].starts_with(") Z"))
    }

    #[tokio::test]
    async fn an_exit_is_observed() {
        let process = shell("exit 3");
        assert_eq!(process.exited().await.code(), Some(3));
        assert_eq!(process.status().and_then(crate::machine::QemuExit::code), Some(3));
        assert_eq!(process.cpu_ms(), None);
    }

    #[test]
    fn dropping_it_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let process = shell(&format!("sleep 1000 & echo $! > {0}.tmp; mv {0}.tmp {0}; wait", file.display()));
        let start = Instant::now();
        while !file.exists() && start.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        let grandchild: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let child = process.id();
        assert!(is_alive(child) && is_alive(grandchild));
        drop(process);
        assert!(!is_alive(child));
        while is_alive(grandchild) && start.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_alive(grandchild));
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = Process::start(Command::new("/nonexistent/qemu")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn cpu_time_is_read_behind_the_name() {
        let line = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu_ms_of(line), Some(2000));
        assert_eq!(cpu_ms_of("garbage"), None);
    }
}
