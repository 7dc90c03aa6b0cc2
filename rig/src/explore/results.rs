//! Results as lines of JSON: one header, then one line for each seed that was finished, and one for each guest in which
//! something failed that belongs to no one seed. A line is written at once and whole, so an exploration that is killed
//! loses at most the seed that was under way. Where a seed has several lines, the last one counts.

use super::schedule::Strategy;
use crate::record_file::{open_lines, write_line};
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use rig_judge::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the lines' form.
pub const FORM: u32 = 2;

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
    /// Hashes of all that decides what is found, by name: the kernel's image, the initramfs with the agent, the plugin, QEMU,
    /// the firmware's configuration, this program.
    pub made_of: Value,
    /// What was run.
    pub scenario: Scenario,
}

impl Header {
    /// Names of what differs from another file's.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let [Ok(Value::Object(ours)), Ok(Value::Object(theirs))] = [self, other].map(serde_json::to_value) else {
            unreachable!("a header is an object");
        };
        let mut names: Vec<String> =
            ours.keys().filter(|key| *key != "made_of" && ours.get(*key) != theirs.get(*key)).cloned().collect();
        names.extend(differing(&self.made_of, &other.made_of));
        names.dedup();
        names
    }
}

/// Names of the hashes that two makes do not share; none where one of them is not known.
pub fn differing(one: &Value, other: &Value) -> Vec<String> {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return Vec::new() };
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
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

/// What failed in a guest outside of its updates, or in an update of which it cannot be said: it belongs to no one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestResult {
    /// Seeds whose updates the guest had made.
    pub seeds: Vec<u64>,
    /// What came of it: failed, hung or crashed.
    pub verdict: Outcome,
    /// Names of the invariants that broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// What happened.
    pub reason: String,
    /// Folder with the evidence, beside the results.
    pub run: PathBuf,
}

/// What is known of an exploration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What came of seeds, in the order of writing.
    pub seeds: Vec<SeedResult>,
    /// What belongs to no one seed.
    pub guests: Vec<GuestResult>,
}

impl Found {
    fn add(&mut self, line: Line) {
        match line {
            Line::Guest(guest) => self.guests.push(guest),
            Line::Seed(result) => self.seeds.push(result),
        }
    }

    /// The last result of each seed, in the order of writing.
    pub fn latest(&self) -> impl Iterator<Item = &SeedResult> {
        let last: BTreeMap<u64, usize> = self.seeds.iter().zip(0..).map(|(result, at)| (result.seed, at)).collect();
        self.seeds.iter().zip(0..).filter(move |(result, at)| last[&result.seed] == *at).map(|(result, _)| result)
    }
}

/// One line of a file, below its header.
#[derive(Clone, Debug)]
enum Line {
    Seed(SeedResult),
    Guest(GuestResult),
}

/// How the line of a guest differs from that of a seed.
#[derive(Serialize, Deserialize)]
struct GuestLine<G> {
    guest: G,
}

impl Line {
    fn parse(text: &str) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        if value.get("guest").is_some() {
            return Ok(Self::Guest(serde_json::from_value::<GuestLine<GuestResult>>(value)?.guest));
        }
        serde_json::from_value(value).map(Self::Seed)
    }
}

/// An open file of results.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    /// What is in it.
    pub found: Found,
}

impl Results {
    /// Opens the file to go on with it, or makes it. A last line that was cut short by a kill is dropped.
    pub fn open(path: &Path, header: &Header) -> Result<Self, Trouble> {
        let (file, text) = open_lines(path, "exploration")?;
        let mut results = Self { path: path.to_owned(), file, found: Found::default() };
        if text.is_empty() {
            results.append(header)?;
            return Ok(results);
        }
        let help = "name another folder with --out, or remove that one; what it holds says nothing of this exploration";
        let (kept, found) = parse(&text, path).map_err(|trouble| Trouble::usage(trouble.cause, help))?;
        if kept != *header {
            let differing = kept.differing(header).join(", ");
            let cause =
                format!("{} holds the results of another exploration: not the same: {differing}", path.display());
            return Err(Trouble::usage(cause, help));
        }
        results.found = found;
        Ok(results)
    }

    /// Adds what came of a seed.
    pub fn add(&mut self, result: SeedResult) -> Result<(), Trouble> {
        self.append(&result)?;
        self.found.add(Line::Seed(result));
        Ok(())
    }

    /// Adds what failed in a guest and belongs to no one seed.
    pub fn add_guest(&mut self, guest: GuestResult) -> Result<(), Trouble> {
        self.append(&GuestLine { guest: &guest })?;
        self.found.add(Line::Guest(guest));
        Ok(())
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), Trouble> {
        write_line(&mut self.file, value).map_err(|e| Trouble::file("write the results", &self.path, &e))
    }

    /// Seeds that need not run again: all but those for which the rig itself failed.
    pub fn finished(&self) -> BTreeSet<u64> {
        self.found.latest().filter(|r| r.is_judged()).map(|r| r.seed).collect()
    }
}

/// Reads a finished or unfinished file of results.
pub fn read(path: &Path) -> Result<(Header, Found), Trouble> {
    let text = std::fs::read_to_string(path).map_err(|e| Trouble::file("read the results", path, &e))?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    parse(&text[..whole], path)
}

fn parse(text: &str, path: &Path) -> Result<(Header, Found), Trouble> {
    let bad = |line: usize, why: String| {
        let cause = format!("{}:{line}: no line of results: {why}", path.display());
        Trouble::usage(cause, "give a results.jsonl of `rig explore`, as it was written")
    };
    let mut lines = text.lines().enumerate();
    let (_, first) = lines.next().ok_or_else(|| bad(1, "the file is empty".into()))?;
    let header: Value = serde_json::from_str(first).map_err(|e| bad(1, e.to_string()))?;
    if let Some(form) = header["form"].as_u64().filter(|form| *form != u64::from(FORM)) {
        return Err(bad(1, format!("it is of form {form}, this rig reads {FORM}")));
    }
    let header: Header = serde_json::from_value(header).map_err(|e| bad(1, e.to_string()))?;
    let mut found = Found::default();
    for (i, line) in lines {
        found.add(Line::parse(line).map_err(|e| bad(i + 1, e.to_string()))?);
    }
    Ok((header, found))
}

/// Joins the results of several machines. A seed with different results is an error.
pub fn merge(files: &[(PathBuf, Header, Found)]) -> Result<(Header, Found, Vec<u64>), Trouble> {
    let help = "give results of the same scenario, strategy, kernel and rig";
    let Some((first, header, _)) = files.first() else {
        return Err(Trouble::usage("there is nothing to merge", "name at least one results.jsonl"));
    };
    if let Some((other, theirs, _)) = files.iter().find(|(_, h, _)| h != header) {
        let differing = header.differing(theirs).join(", ");
        let (first, other) = (first.display(), other.display());
        return Err(Trouble::usage(
            format!("{first} and {other} are of different explorations: not the same: {differing}"),
            help,
        ));
    }
    let mut by_seed: BTreeMap<u64, SeedResult> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    for result in files.iter().flat_map(|(_, _, found)| found.latest()) {
        match by_seed.get(&result.seed) {
            Some(known) if known.is_judged() => {
                if result.is_judged() && known.essence() != result.essence() {
                    differing.insert(result.seed);
                }
            }
            _ => _ = by_seed.insert(result.seed, result.clone()),
        }
    }
    let guests = files.iter().flat_map(|(_, _, found)| found.guests.clone()).collect();
    let found = Found { seeds: by_seed.into_values().collect(), guests };
    Ok((header.clone(), found, differing.into_iter().collect()))
}

/// Writes a file of results.
pub fn write(path: &Path, header: &Header, found: &Found) -> Result<(), Trouble> {
    let failed = |e| Trouble::file("write", path, &e);
    let mut file = File::create(path).map_err(failed)?;
    let seeds = found.seeds.iter().map(serde_json::to_string);
    let guests = found.guests.iter().map(|guest| serde_json::to_string(&GuestLine { guest }));
    for line in std::iter::once(serde_json::to_string(header)).chain(seeds).chain(guests) {
        writeln!(file, "{}", line.expect("results are plain data")).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::explore) fn header() -> Header {
        let strategy = Strategy::default();
        let made_of = serde_json::json!({ "kernel": "a", "plugin": "b" });
        Header { form: FORM, schedules: 1, strategy, kernel: "7.3".into(), made_of, scenario: Scenario::default() }
    }

    pub(in crate::explore) fn result(seed: u64, verdict: Outcome) -> SeedResult {
        let broken = if verdict == Outcome::Failed { vec!["lockstep".into()] } else { Vec::new() };
        SeedResult { seed, verdict, broken, reason: None, holds: 1, begun: 1, satisfied: 0, update_ms: 9, run: None }
    }

    pub(in crate::explore) fn guest() -> GuestResult {
        let broken = vec!["quiet-kernel".into()];
        let (reason, run) = ("a late warning".into(), "guests/1".into());
        GuestResult { seeds: vec![3, 4], verdict: Outcome::Failed, broken, reason, run }
    }

    #[test]
    fn a_killed_exploration_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let mut results = Results::open(&path, &header()).unwrap();
        results.add(result(3, Outcome::Passed)).unwrap();
        results.add(result(4, Outcome::RigError)).unwrap();
        drop(results);
        let mut torn = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"seed\":5,\"verd").unwrap();
        drop(torn);
        let mut results = Results::open(&path, &header()).unwrap();
        assert_eq!(results.finished(), BTreeSet::from([3]), "what the rig failed at is tried again");
        results.add(result(5, Outcome::Failed)).unwrap();
        results.add_guest(guest()).unwrap();
        results.add(result(3, Outcome::RigError)).unwrap();
        assert_eq!(results.finished(), BTreeSet::from([5]), "the last line of a seed counts");
        let found = results.found.clone();
        drop(results);
        let (kept, again) = read(&path).unwrap();
        assert_eq!((kept, &again), (header(), &found));
        assert_eq!(again.latest().map(|r| r.seed).collect::<Vec<_>>(), [4, 5, 3]);
        assert_eq!(again.guests, [guest()], "it survives, so that the same command fails again");
        write(&path, &header(), &again).unwrap();
        assert_eq!(read(&path).unwrap().1, again);
    }

    #[test]
    fn cannot_go_on_with_something_else_or_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let first = Results::open(&path, &header()).unwrap();
        assert!(Results::open(&path, &header()).unwrap_err().cause.contains("another exploration"));
        drop(first);
        let other = Header { strategy: Strategy::Blind, ..header() };
        assert!(
            Results::open(&path, &other).unwrap_err().cause.contains("another exploration: not the same: strategy")
        );
        std::fs::write(&path, "{}\n").unwrap();
        assert!(read(&path).unwrap_err().cause.contains(":1: no line of results"));
        std::fs::write(&path, "{\"form\":1,\"kernel\":\"7.3\"}\n").unwrap();
        let old = Results::open(&path, &header()).unwrap_err();
        assert!(old.cause.contains("it is of form 1, this rig reads 2") && old.help.contains("--out"), "{old:?}");
    }

    /// A kernel that was built anew has the release of the one before.
    #[test]
    fn cannot_go_on_with_another_kernel_of_the_same_release() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let mut results = Results::open(&path, &header()).unwrap();
        results.add(result(0, Outcome::Passed)).unwrap();
        drop(results);
        for part in ["kernel", "plugin", "qemu"] {
            let mut other = header();
            other.made_of[part] = "another".into();
            let refused = Results::open(&path, &other).unwrap_err();
            assert!(refused.cause.ends_with(&format!("not the same: {part}")), "{refused}");
        }
        assert_eq!(Results::open(&path, &header()).unwrap().finished(), BTreeSet::from([0]));
    }

    #[test]
    fn shards_merge_to_the_whole() {
        let outcome = |seed| if seed % 5 == 0 { Outcome::Failed } else { Outcome::Passed };
        let whole: Vec<SeedResult> = (0..20).map(|seed| result(seed, outcome(seed))).collect();
        let part = |index: usize| {
            let seeds = whole.iter().skip(index).step_by(3).cloned().collect::<Vec<_>>();
            Found { seeds, guests: if index == 1 { vec![guest()] } else { Vec::new() } }
        };
        let files: Vec<_> = (0..3).map(|i| (PathBuf::from(format!("{i}")), header(), part(i))).collect();
        let (_, merged, differing) = merge(&files).unwrap();
        assert_eq!((merged, differing), (Found { seeds: whole, guests: vec![guest()] }, vec![]));
    }

    #[test]
    fn differing_results_and_foreign_files_are_errors() {
        let file = |name: &str, header: Header, outcome| {
            let seeds = vec![result(1, outcome)];
            (PathBuf::from(name), header, Found { seeds, ..Found::default() })
        };
        let files = [file("a", header(), Outcome::Passed), file("b", header(), Outcome::Failed)];
        assert_eq!(merge(&files).unwrap().2, [1]);
        let rig = [file("a", header(), Outcome::RigError), file("b", header(), Outcome::Failed)];
        let (_, merged, differing) = merge(&rig).unwrap();
        assert_eq!((merged.seeds[0].verdict, differing.len()), (Outcome::Failed, 0));
        let other = Header { made_of: serde_json::json!({ "kernel": "b", "plugin": "b" }), ..header() };
        let files = [file("a", header(), Outcome::Passed), file("b", other, Outcome::Passed)];
        let refused = merge(&files).unwrap_err();
        assert!(refused.cause.contains("a and b") && refused.cause.ends_with("not the same: kernel"), "{refused}");
        assert!(merge(&[]).is_err());
    }
}
