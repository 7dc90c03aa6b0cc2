//! Whether KVM works: by booting with it, not by looking for a file.
//!
//! /dev/kvm may exist and create machines, and still be an implementation that boots no kernel; and QEMU may abort on it.
//! All of that is "no", with a reason.

use super::clone::clone_command;
use super::exit::QemuExit;
use super::failure::meaningful;
use super::logs::{self, BoundedLogs};
use super::probe::{self, PROGRAM_RAN, Probe};
use super::process::Process;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// CPU models to try, best first.
const MODELS: [&str; 3] = ["host", "max", "qemu64"];
/// Bounds on each boot: how long it may say nothing on its console, and how long it may take. KVM on hardware takes a
/// second or two; where the processor itself is emulated, ten, and some times that on a busy host.
const LIMITS: Limits = Limits { silence: Duration::from_secs(30), whole: Duration::from_secs(180) };
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);
/// How the reason begins when a bound was reached.
const TOO_SLOW: &str = "nothing booted within";

/// Whether KVM works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kvm {
    /// It booted something.
    Works {
        /// With this CPU model.
        model: String,
        /// In words: what, and how.
        how: String,
    },
    /// Why not, in one line.
    No(String),
}

/// Boots with KVM: the kernel when there is one, else a program of a few instructions.
pub fn try_kvm(qemu: impl Fn() -> Command, kernel: Option<&Path>) -> Kvm {
    let device = Path::new("/dev/kvm");
    if let Err(e) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
        return Kvm::No(format!("{}: {e}", device.display()));
    }
    let mut reasons = Vec::new();
    for model in MODELS {
        match try_model(qemu(), model, kernel) {
            Ok(()) => {
                let what = if kernel.is_some() { "a kernel" } else { "a small program (no kernel is built yet)" };
                return Kvm::Works { model: model.to_owned(), how: format!("booted {what} with -cpu {model}") };
            }
            Err(why) => {
                reasons.push(format!("-cpu {model}: {why}"));
                // A model that is refused ends QEMU at once; a KVM that is this slow is so with any model.
                if why.starts_with(TOO_SLOW) {
                    break;
                }
            }
        }
    }
    Kvm::No(reasons.join("; "))
}

/// What a probe found, and for what that holds.
#[derive(Serialize, Deserialize)]
struct Found {
    /// The host's boot, QEMU and the kernel.
    of: Vec<String>,
    kvm: Kvm,
}

/// File in the cache that keeps it.
const KEPT: &str = "kvm.json";

/// The probe with this kernel, made once for each boot of this machine: where KVM hangs it takes a while.
pub fn kvm_once(cache: &Path, qemu: &Command, kernel: &Path) -> Kvm {
    kvm_kept(cache, qemu, kernel).unwrap_or_else(|| kvm_anew(cache, qemu, kernel))
}

/// What an earlier probe with this kernel found, since this machine was booted; none: there was none.
pub fn kvm_kept(cache: &Path, qemu: &Command, kernel: &Path) -> Option<Kvm> {
    let of = what_it_holds_for(qemu, kernel);
    let kept = std::fs::read(cache.join(KEPT)).ok().and_then(|text| serde_json::from_slice::<Found>(&text).ok());
    kept.filter(|found| found.of == of).map(|found| found.kvm)
}

/// The probe, made again; its answer is kept for those to come.
pub fn kvm_anew(cache: &Path, qemu: &Command, kernel: &Path) -> Kvm {
    let kvm = try_kvm(|| clone_command(qemu), Some(kernel));
    let found = Found { of: what_it_holds_for(qemu, kernel), kvm };
    let text = serde_json::to_vec(&found).expect("words are plain data");
    // What cannot be kept is found out again.
    let _ = std::fs::write(cache.join(KEPT), text);
    found.kvm
}

/// This boot of the host, its KVM, QEMU and the kernel. A device that came, went or changed hands since is another one.
fn what_it_holds_for(qemu: &Command, kernel: &Path) -> Vec<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    let device = device.map_or_else(|e| e.to_string(), |_| String::new());
    let words = qemu.get_args().map(|word| word.to_string_lossy().into_owned());
    [boot, device, kernel.display().to_string()].into_iter().chain(words).collect()
}

fn try_model(mut qemu: Command, model: &str, kernel: Option<&Path>) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let console = dir.path().join("console");
    let program = write_program(&dir).map_err(|e| e.to_string())?;
    probe::add_arguments(&mut qemu, model, kernel.map_or(Probe::Program(&program), Probe::Kernel), &console);
    let (exit, stderr) = run(qemu, &dir, &console, LIMITS)?;
    judge(exit, &stderr, &logs::read(&console), kernel.is_some())
}

/// Whether what came is what a working KVM gives. A kernel without a root file system says hello, panics, and resets.
fn judge(exit: QemuExit, stderr: &str, console: &str, kernel: bool) -> Result<(), String> {
    let booted =
        if kernel { exit.success() && console.contains("Linux version") } else { exit.code() == Some(PROGRAM_RAN) };
    if booted {
        return Ok(());
    }
    let said = meaningful(stderr).map(|line| format!(": {line}")).unwrap_or_default();
    Err(format!("QEMU ended with {exit}{said}"))
}

/// Bounds on a boot.
#[derive(Clone, Copy)]
struct Limits {
    /// Without a word on its console.
    silence: Duration,
    /// From its start to its end.
    whole: Duration,
}

fn run(mut qemu: Command, dir: &TempDir, console: &Path, limits: Limits) -> Result<(QemuExit, String), String> {
    let stderr = dir.path().join("stderr");
    let log = std::fs::File::create(&stderr).map_err(|e| e.to_string())?;
    let _logs = BoundedLogs::keep(vec![console.to_owned(), stderr.clone()]).map_err(|e| e.to_string())?;
    qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // It ends with the rig, however that ends, and when this function does.
    let process = Process::start(qemu).map_err(|e| format!("cannot start QEMU: {e}"))?;
    let start = Instant::now();
    let (mut said, mut spoke) = (0, start);
    loop {
        if let Some(exit) = process.status() {
            return Ok((exit, logs::read(&stderr)));
        }
        let length = std::fs::metadata(console).map_or(0, |file| file.len());
        if length > said {
            (said, spoke) = (length, Instant::now());
        }
        if spoke.elapsed() > limits.silence || start.elapsed() > limits.whole {
            let (taken_s, silent_s) = (start.elapsed().as_secs(), spoke.elapsed().as_secs());
            return Err(format!("{TOO_SLOW} {taken_s} s; the last {silent_s} s without a word on the console"));
        }
        std::thread::sleep(LOOK);
    }
}

fn write_program(dir: &TempDir) -> std::io::Result<std::path::PathBuf> {
    let path = dir.path().join("program");
    std::fs::write(&path, probe::program())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn exit(code: i32) -> QemuExit {
        ExitStatus::from_raw(code << 8).into()
    }

    #[test]
    fn a_boot_is_a_yes() {
        assert_eq!(judge(exit(85), "", "", false), Ok(()));
        assert_eq!(judge(exit(0), "", "[    0.0] Linux version 7.3.4\n", true), Ok(()));
    }

    #[test]
    fn everything_else_is_a_no() {
        assert!(judge(exit(1), "qemu: kvm: no", "", false).unwrap_err().contains("kvm: no"));
        assert!(judge(exit(0), "", "", true).is_err());
        assert!(judge(ExitStatus::from_raw(6).into(), "", "Linux version", true).is_err(), "an abort is a no");
    }

    fn script(text: &str, silence_ms: u64, whole_ms: u64) -> Result<QemuExit, String> {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console");
        let mut shell = Command::new("sh");
        shell.args(["-c", text, "sh"]).arg(&console);
        let [silence, whole] = [silence_ms, whole_ms].map(Duration::from_millis);
        run(shell, &dir, &console, Limits { silence, whole }).map(|(exit, _)| exit)
    }

    #[test]
    fn a_qemu_that_cannot_start_is_a_no() {
        let dir = tempfile::tempdir().unwrap();
        let result = run(Command::new("/nonexistent"), &dir, dir.path(), LIMITS);
        assert!(result.unwrap_err().contains("cannot start QEMU"));
    }

    #[test]
    fn a_kernel_that_says_something_boots_and_one_that_does_not_is_given_up() {
        let speaks = "i=0; while [ $i -lt 20 ]; do echo . >>$1; sleep 0.05; i=$((i+1)); done";
        assert!(script(speaks, 900, 60_000).unwrap().success());
        assert!(script("exec sleep 60", 50, 60_000).unwrap_err().starts_with(TOO_SLOW));
        assert!(script("while :; do echo . >>$1; sleep 0.05; done", 60_000, 200).unwrap_err().starts_with(TOO_SLOW));
    }
}
