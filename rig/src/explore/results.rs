//! Results as lines of JSON: one header, then one line for each seed that came to its end. A line is written at once and
//! whole, so whoever dies loses at most the seed that was under way.

use super::schedule::Strategy;
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use rig_judge::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of the lines' form.
pub const FORM: u32 = 1;

/// What all seeds of a file have in common. Files with equal headers can be merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORM`].
    pub form: u32,
    /// Version of what seeds mean.
    pub schedules: u32,
    /// How seeds become schedules.
    pub strategy: Strategy,
    /// Release of the kernel.
    pub kernel: String,
    /// What was run.
    pub scenario: Scenario,
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub verdict: Outcome,
    /// Names of the invariants that broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Holds of its schedule.
    pub holds: u64,
    /// Holds that began.
    pub begun: u64,
    /// Holds that ended because their condition came true.
    pub satisfied: u64,
    /// Host time of the update, milliseconds.
    pub update_ms: u64,
    /// Folder with the evidence, beside the results; only of what did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<PathBuf>,
}

impl SeedResult {
    /// Whether the subject failed.
    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Outcome::Failed | Outcome::Hung | Outcome::GuestCrashed)
    }

    /// Whether anything was judged.
    pub fn is_judged(&self) -> bool {
        self.has_failed() || self.verdict == Outcome::Passed
    }

    /// What came of it, apart from what differs between any two runs.
    pub fn essence(&self) -> (Outcome, &[String]) {
        (self.verdict, &self.broken)
    }
}

/// An open file of results.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    /// What is in it, in the order of writing.
    pub done: Vec<SeedResult>,
}

impl Results {
    /// Opens the file to go on with it, or makes it. A last line that was cut short by a kill is dropped.
    pub fn open(path: &Path, header: &Header) -> Result<Self, Trouble> {
        let failed = |e: std::io::Error| Trouble::file("use the results", path, &e);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            let cause = format!("another exploration writes to {}", path.display());
            return Err(Trouble::usage(cause, "wait for it, or name another folder with --out"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut results = Self { path: path.to_owned(), file, done: Vec::new() };
        if whole == 0 {
            results.append(header)?;
            return Ok(results);
        }
        let (kept, done) = parse(&text[..whole], path)?;
        if kept != *header {
            let cause = format!("{} holds the results of something else", path.display());
            return Err(Trouble::usage(cause, "use the same scenario and strategy, or name another folder with --out"));
        }
        results.done = done;
        Ok(results)
    }

    /// Adds what came of a seed.
    pub fn add(&mut self, result: SeedResult) -> Result<(), Trouble> {
        self.append(&result)?;
        self.done.push(result);
        Ok(())
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), Trouble> {
        let mut line = serde_json::to_string(value).expect("results are plain data");
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|e| Trouble::file("write the results", &self.path, &e))
    }

    /// Seeds that need not run again: all but those for which the rig itself failed.
    pub fn finished(&self) -> BTreeSet<u64> {
        self.done.iter().filter(|r| r.is_judged()).map(|r| r.seed).collect()
    }
}

/// Reads a finished or unfinished file of results.
pub fn read(path: &Path) -> Result<(Header, Vec<SeedResult>), Trouble> {
    let text = std::fs::read_to_string(path).map_err(|e| Trouble::file("read the results", path, &e))?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    parse(&text[..whole], path)
}

fn parse(text: &str, path: &Path) -> Result<(Header, Vec<SeedResult>), Trouble> {
    let bad = |line: usize, why: String| {
        let cause = format!("{}:{line}: no line of results: {why}", path.display());
        Trouble::usage(cause, "give a results.jsonl of `rig explore`, as it was written")
    };
    let mut lines = text.lines().enumerate();
    let (_, first) = lines.next().ok_or_else(|| bad(1, "the file is empty".into()))?;
    let header: Header = serde_json::from_str(first).map_err(|e| bad(1, e.to_string()))?;
    if header.form != FORM {
        return Err(bad(1, format!("it is of form {}, this rig reads {FORM}", header.form)));
    }
    let results = lines.map(|(i, line)| serde_json::from_str(line).map_err(|e| bad(i + 1, e.to_string())));
    Ok((header, results.collect::<Result<_, _>>()?))
}

/// Joins the results of several machines. Seeds that came out differently are told.
pub fn merge(files: &[(PathBuf, Header, Vec<SeedResult>)]) -> Result<(Header, Vec<SeedResult>, Vec<u64>), Trouble> {
    let help = "give results of the same scenario, strategy and kernel";
    let Some((first, header, _)) = files.first() else {
        return Err(Trouble::usage("there is nothing to merge", "name at least one results.jsonl"));
    };
    if let Some((other, ..)) = files.iter().find(|(_, h, _)| h != header) {
        let cause = format!("{} and {} are of different explorations", first.display(), other.display());
        return Err(Trouble::usage(cause, help));
    }
    let mut by_seed: BTreeMap<u64, SeedResult> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    for result in files.iter().flat_map(|(_, _, results)| results) {
        match by_seed.get(&result.seed) {
            Some(known) if known.is_judged() => {
                if result.is_judged() && known.essence() != result.essence() {
                    differing.insert(result.seed);
                }
            }
            _ => _ = by_seed.insert(result.seed, result.clone()),
        }
    }
    Ok((header.clone(), by_seed.into_values().collect(), differing.into_iter().collect()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::explore) fn header() -> Header {
        let strategy = Strategy::default();
        Header { form: FORM, schedules: 1, strategy, kernel: "7.3".into(), scenario: Scenario::default() }
    }

    pub(in crate::explore) fn result(seed: u64, verdict: Outcome) -> SeedResult {
        let broken = if verdict == Outcome::Failed { vec!["lockstep".into()] } else { Vec::new() };
        SeedResult { seed, verdict, broken, reason: None, holds: 1, begun: 1, satisfied: 0, update_ms: 9, run: None }
    }

    #[test]
    fn a_killed_exploration_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let mut results = Results::open(&path, &header()).unwrap();
        results.add(result(3, Outcome::Passed)).unwrap();
        results.add(result(4, Outcome::RigError)).unwrap();
        drop(results);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"seed\":5,\"verd").unwrap();
        drop(torn);
        let mut results = Results::open(&path, &header()).unwrap();
        assert_eq!(results.finished(), BTreeSet::from([3]), "what the rig failed at is tried again");
        results.add(result(5, Outcome::Failed)).unwrap();
        drop(results);
        let (kept, all) = read(&path).unwrap();
        assert_eq!(kept, header());
        assert_eq!(all.iter().map(|r| r.seed).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn cannot_go_on_with_something_else_or_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let first = Results::open(&path, &header()).unwrap();
        assert!(Results::open(&path, &header()).unwrap_err().cause.contains("another exploration"));
        drop(first);
        let other = Header { strategy: Strategy::Blind, ..header() };
        assert!(Results::open(&path, &other).unwrap_err().cause.contains("something else"));
        std::fs::write(&path, "{}\n").unwrap();
        assert!(read(&path).unwrap_err().cause.contains(":1: no line of results"));
    }

    #[test]
    fn shards_merge_to_the_whole() {
        let outcome = |seed| if seed % 5 == 0 { Outcome::Failed } else { Outcome::Passed };
        let whole: Vec<SeedResult> = (0..20).map(|seed| result(seed, outcome(seed))).collect();
        let part = |index: usize| whole.iter().skip(index).step_by(3).cloned().collect::<Vec<_>>();
        let files: Vec<_> = (0..3).map(|i| (PathBuf::from(format!("{i}")), header(), part(i))).collect();
        let (_, merged, differing) = merge(&files).unwrap();
        assert_eq!((merged, differing), (whole, vec![]));
    }

    #[test]
    fn differing_results_and_foreign_files_are_told() {
        let file = |name: &str, header: Header, outcome| (PathBuf::from(name), header, vec![result(1, outcome)]);
        let files = [file("a", header(), Outcome::Passed), file("b", header(), Outcome::Failed)];
        assert_eq!(merge(&files).unwrap().2, [1]);
        let rig = [file("a", header(), Outcome::RigError), file("b", header(), Outcome::Failed)];
        let (_, merged, differing) = merge(&rig).unwrap();
        assert_eq!((merged[0].verdict, differing.len()), (Outcome::Failed, 0));
        let other = Header { kernel: "7.4".into(), ..header() };
        let files = [file("a", header(), Outcome::Passed), file("b", other, Outcome::Passed)];
        assert!(merge(&files).unwrap_err().cause.contains("a and b"));
        assert!(merge(&[]).is_err());
    }
}
