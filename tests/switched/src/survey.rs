//! Which test reaches which site, and how long each takes: a mutant is run only with tests that reach it.

use crate::compile::TargetName;
use crate::render::{REACHED, RECORD, VARIABLE};
use crate::run::Ended;
use crate::runner::Runner;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A test that passes without a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Name of the target that it is in.
    pub target: String,
    /// Its name.
    pub name: String,
    /// The processor time that it takes, alone in a process, in milliseconds.
    pub time_ms: u64,
    /// The sites that it reaches, each by the first switch there.
    pub sites: BTreeSet<u32>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    program: String,
    tests: Vec<Test>,
}

/// The processor time that a test without a mutant may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs each test by itself without a mutant; all must pass. The quickest comes first. What is kept at `path` is taken if it is
/// about the same program.
pub fn survey(
    runner: &Runner,
    programs: &[(TargetName, PathBuf)],
    program: &str,
    path: &Path,
    workers: usize,
) -> Result<Vec<Test>, Trouble> {
    if let Ok(text) = fs::read_to_string(path)
        && let Ok(kept) = serde_json::from_str::<Kept>(&text)
        && kept.program == program
    {
        return Ok(kept.tests);
    }
    let mut queue = Vec::new();
    for (target, path) in programs {
        queue.extend(runner.tests(path)?.into_iter().map(|name| (target, path, name)));
    }
    let (queue, done, failed) = (Mutex::new(queue), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let work = |number: usize| -> Result<(), Trouble> {
        let file = path.with_extension(format!("reached-{number}"));
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((target, program, name)) = next else { return Ok(()) };
            match one(runner, &target.name, program, name, &file)? {
                Ok(test) => done.lock().unwrap_or_else(PoisonError::into_inner).push(test),
                Err(name) => failed.lock().unwrap_or_else(PoisonError::into_inner).push(name),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
    })?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        return Err(Trouble::Baseline(failed.join(", ")));
    }
    let mut tests = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    tests.sort_by(|a, b| (a.time_ms, &a.target, &a.name).cmp(&(b.time_ms, &b.target, &b.name)));
    let kept = Kept { program: program.to_owned(), tests };
    let text = serde_json::to_string(&kept).expect("numbers and names are JSON");
    fs::write(path, text).map_err(Trouble::file("write", path))?;
    Ok(kept.tests)
}

/// The test, or its name if it fails or does not end.
fn one(
    runner: &Runner,
    target: &str,
    program: &Path,
    name: String,
    file: &Path,
) -> Result<Result<Test, String>, Trouble> {
    fs::write(file, "").map_err(Trouble::file("write", file))?;
    let variables = [(VARIABLE, RECORD.to_string()), (REACHED, file.display().to_string())];
    let (ended, used) = runner.run_with(program, &name, &variables, LIMIT)?;
    if ended != Ended::Passed {
        return Ok(Err(format!("{target} {name}")));
    }
    let time_ms = u64::try_from(used.as_millis()).unwrap_or(u64::MAX);
    let text = fs::read_to_string(file).map_err(Trouble::file("read", file))?;
    let sites = text.lines().filter_map(|line| line.parse().ok()).collect();
    Ok(Ok(Test { target: target.to_owned(), name, time_ms, sites }))
}
