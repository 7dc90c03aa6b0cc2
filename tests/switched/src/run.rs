//! Runs one test program.

use crate::trouble::Trouble;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What a mutant may use of memory, so that one that allocates for ever harms itself only.
const MEMORY_KIB: u64 = 6 << 20;

/// How often it is looked at how long a test has been running.
const LOOK: Duration = Duration::from_millis(200);

/// A test that waits and uses no processor may last this many times as long as one that does.
const ASLEEP: u32 = 10;

/// How a program is called.
#[derive(Clone, Debug)]
pub struct Call<'c> {
    /// The program, one of Rust's test harness.
    pub program: &'c Path,
    /// Its arguments. `--test-threads=1` is added, so that the harness says which test it is at.
    pub arguments: Vec<String>,
    /// Variables that it gets beside this process's.
    pub environment: &'c BTreeMap<String, String>,
    /// Where it runs.
    pub folder: &'c PathBuf,
    /// How much processor time each test may use. It may last longer than that, since it may have to wait for a processor.
    pub limit: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All tests passed.
    Passed,
    /// A test failed, or the program. The test at which it was, if it said so.
    Failed(Option<String>),
    /// A test did not end in time. Its name, if the program said so.
    TimedOut(Option<String>),
}

/// The program in a process group of its own. In that group a process waits for the end of standard input, whose other end is held
/// here, and ends the group then: so the program does not outlive this process, however that ends.
fn command(call: &Call<'_>) -> Command {
    let lifeline = "exec 3<&0 </dev/null; ( (read end <&3; kill -9 0) >/dev/null 2>&1 & )";
    let limited = format!("{lifeline}; ulimit -v {MEMORY_KIB} && exec \"$0\" \"$@\" 3<&-");
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).arg(call.program).args(&call.arguments).arg("--test-threads=1");
    command.envs(call.environment).current_dir(call.folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    command
}

/// Runs a program until it ends, a test fails, or a test's time is over. Its whole process group is ended with it. Returns its
/// processor time as well.
pub fn run(call: &Call<'_>) -> Result<(Ended, Duration), Trouble> {
    let failed = |cause: std::io::Error| Trouble::Command {
        command: call.program.display().to_string(),
        cause: cause.to_string(),
    };
    let mut child = command(call).spawn().map_err(failed)?;
    // To wait for the child would close it.
    let lifeline = child.stdin.take();
    let (sender, lines) = channel();
    let output = child.stdout.take().expect("it is a pipe");
    let reader = std::thread::spawn(move || read(output, &sender));
    let process = child.id();
    let ended = follow(&lines, call.limit, || used(process));
    let spent = used(process);
    if ended.is_some() {
        end(&child);
    }
    let status = child.wait().map_err(failed)?;
    drop(lifeline);
    reader.join().expect("reading does not panic");
    let rest: Vec<String> = lines.try_iter().collect();
    let at = rest.iter().rev().find_map(|line| test_of(line)).map(|(name, _)| name);
    let ended = match ended {
        Some(Ended::TimedOut(_)) => Ended::TimedOut(at),
        Some(ended) => ended,
        None if status.success() => Ended::Passed,
        None => Ended::Failed(None),
    };
    Ok((ended, spent))
}

/// None at the end of the output. Each test has `limit` for itself, so that one which loops for ever costs no more when many
/// others are run with it. `used` is the program's processor time so far.
fn follow(lines: &Receiver<String>, limit: Duration, used: impl Fn() -> Duration) -> Option<Ended> {
    let mut unfinished = None;
    let mut began = (Instant::now(), used());
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                if let Some((name, result)) = test_of(&line) {
                    if result.starts_with("FAILED") {
                        return Some(Ended::Failed(Some(name)));
                    }
                    unfinished = result.is_empty().then_some(name);
                    began = (Instant::now(), used());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // A program that aborts leaves its line unfinished.
            Err(RecvTimeoutError::Disconnected) => return unfinished.map(|name| Ended::Failed(Some(name))),
        }
        let (at, used_before) = began;
        if used().saturating_sub(used_before) > limit || at.elapsed() > limit.saturating_mul(ASLEEP) {
            return Some(Ended::TimedOut(None));
        }
    }
}

/// The processor time of a process, and nothing for one that has ended and was waited for.
fn used(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind its name, which may have anything in it: the 14th and the 15th field (proc_pid_stat(5)).
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The test and its result in a line of the harness: `test NAME ... ok`, and before it has ended `test NAME ... `.
fn test_of(line: &str) -> Option<(String, &str)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    Some((name.to_owned(), result.trim()))
}

fn read(output: impl Read, lines: &Sender<String>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    // An unreadable end is an end.
    while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
        line.clear();
    }
}

fn end(child: &Child) {
    let group = Pid::from_raw(i32::try_from(child.id()).expect("process numbers are small"));
    // It may have ended in this instant.
    let _ = killpg(group, Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;

    /// `sh` in the place of a test program, running a script.
    fn shell<T>(script: &str, with: impl FnOnce(&Call<'_>) -> T) -> T {
        let (environment, folder) = (BTreeMap::new(), PathBuf::from("/"));
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let limit = Duration::from_secs(60);
        let (program, environment, folder) = (Path::new("/bin/sh"), &environment, &folder);
        with(&Call { program, arguments, environment, folder, limit })
    }

    /// What the system does with the open files of a process that ends, it does here.
    #[test]
    fn a_program_does_not_outlive_who_runs_it() {
        let mut child = shell("sleep 60; true", |call| command(call).spawn().unwrap());
        let started = Instant::now();
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        assert!(started.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn a_program_ends_as_it_will_and_leaves_nothing() {
        assert_eq!(shell("exit 0", run).unwrap().0, Ended::Passed);
        assert_eq!(shell("exit 3", run).unwrap().0, Ended::Failed(None));
        let left = "sleep 50 >/dev/null & echo test $! ... FAILED; wait";
        let (Ended::Failed(Some(process)), _) = shell(left, run).unwrap() else { panic!("its test failed") };
        let status = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let started = Instant::now();
        while status().contains("(sleep) S") {
            assert!(started.elapsed() < Duration::from_secs(40), "{}", status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_line_of_the_harness_has_the_test_and_its_result() {
        assert_eq!(test_of("test a::b ... ok\n"), Some(("a::b".into(), "ok")));
        assert_eq!(test_of("test a::b - should panic ... FAILED\n"), Some(("a::b".into(), "FAILED")));
        assert_eq!(test_of("test a::b ... "), Some(("a::b".into(), "")));
        assert_eq!(test_of("test result: FAILED. 1 passed"), None);
    }

    /// What a program comes to that says these lines, each after `pause_ms`, whose processor time is `used_ms` more whenever
    /// it is asked for, and whose limit for each test is 100 ms.
    fn followed(lines: &'static [&str], pause_ms: u64, used_ms: u64) -> Option<Ended> {
        let (sender, receiver) = channel();
        let say = std::thread::spawn(move || {
            for line in lines {
                std::thread::sleep(Duration::from_millis(pause_ms));
                if sender.send((*line).to_owned()).is_err() {
                    return;
                }
            }
        });
        let all_ms = Cell::new(0);
        let used = || Duration::from_millis(all_ms.replace(all_ms.get() + used_ms));
        let ended = follow(&receiver, Duration::from_millis(100), used);
        drop(receiver);
        say.join().unwrap();
        ended
    }

    #[test]
    fn each_test_has_the_limit_for_itself() {
        assert_eq!(followed(&["test a ... ok"; 9], 0, 30), None);
        assert_eq!(followed(&["test a ... ok", "", "", "", ""], 0, 30), Some(Ended::TimedOut(None)));
    }

    #[test]
    fn a_test_that_waits_has_more_time() {
        assert_eq!(followed(&["test a ... ok"], 500, 0), None);
        assert_eq!(followed(&["test a ... ok"], 1500, 0), Some(Ended::TimedOut(None)));
    }

    #[test]
    fn processor_time_is_that_of_the_process() {
        let before = used(std::process::id());
        let start = Instant::now();
        while used(std::process::id()) < before + Duration::from_millis(50) {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        assert_eq!(used(u32::MAX), Duration::ZERO);
    }
}
