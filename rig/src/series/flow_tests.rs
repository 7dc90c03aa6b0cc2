//! The whole way from patches and commits to reports, with real git and a bench that builds and runs nothing: a kernel is the text of
//! the file `kernel.c`.

use super::bench::{Bench, Built, Revision};
use super::bisect::{self, Step};
use super::compare::{Series, compare};
use super::difference::tests::result;
use super::git::Git;
use super::judging::Judging;
use super::known::KnownResults;
use super::mails;
use super::repository::Repository;
use super::work::applied;
use super::{PatchRow, PatchStanding, ScenarioResult, SeriesReport};
use crate::scenario::{Scenario, catalogue};
use crate::suite::Room;
use crate::trouble::Trouble;
use rig_judge::Outcome;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Checks sources out and reads them; what is in them decides.
struct Imagined<'a> {
    repository: &'a Repository,
    source: PathBuf,
    builds: AtomicUsize,
    runs: AtomicUsize,
    /// As many runs end before somebody asks to end.
    patience: usize,
}

impl<'a> Imagined<'a> {
    fn new(repository: &'a Repository, source: &Path, patience: usize) -> Self {
        let (builds, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { repository, source: source.to_owned(), builds, runs, patience }
    }

    fn counts(&self) -> [usize; 2] {
        [&self.builds, &self.runs].map(|count| count.load(Ordering::SeqCst))
    }
}

impl Bench for Imagined<'_> {
    fn build(&self, revision: &Revision) -> Result<Built, Trouble> {
        self.builds.fetch_add(1, Ordering::SeqCst);
        self.repository.check_out(&revision.commit)?;
        let text = fs::read_to_string(self.source.join("kernel.c")).unwrap();
        let refused = || Built::Refused("kernel.c:1:1: error: syntax".into());
        // The text stands for the kernel's path.
        Ok(if text.contains("syntax error") { refused() } else { Built::Kernel(text.into()) })
    }

    fn run(&self, kernel: &Path, scenario: Scenario, _: &Path) -> ScenarioResult {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let has = |word: &str| kernel.to_string_lossy().contains(word);
        match scenario.name.as_str() {
            "plain" if has("no disk") => result("plain", Outcome::RigError, &[]),
            "plain" if has("no lock") => result("plain", Outcome::Failed, &["lockstep"]),
            "bad-image-no-sigstruct" if !has("checks lists") => result(&scenario.name, Outcome::Xfail, &[]),
            "bad-image-no-sigstruct" => result(&scenario.name, Outcome::Xpass, &[]),
            name => result(name, Outcome::Passed, &[]),
        }
    }

    fn goes_on(&self) -> bool {
        self.runs.load(Ordering::SeqCst) < self.patience
    }
}

const SCENARIOS: [&str; 2] = ["plain", "bad-image-no-sigstruct"];

fn judging<'a>(bench: &'a Imagined<'a>, out: &Path) -> Judging<'a, Imagined<'a>> {
    Judging {
        bench,
        store: Mutex::new(KnownResults::open(&out.join("results.jsonl")).unwrap()),
        scenarios: SCENARIOS.iter().map(|name| catalogue::named(name).unwrap()).collect(),
        tools: "tools".into(),
        runs: out.join("runs"),
        room: Room { machines: 1, memory_mib: 99999 },
        on_result: &|_, _| (),
    }
}

/// Lines of a file with one line of its own for each word.
const ORIGINAL: &str = "first\n\n\n\nlists\n\n\n\nlock\n\n\n\nlast\n";

fn diff(from: &str, to: &str) -> String {
    let diff = similar::TextDiff::from_lines(from, to).unified_diff().header("a/kernel.c", "b/kernel.c").to_string();
    format!("diff --git a/kernel.c b/kernel.c\n{diff}")
}

/// One that repairs, one that breaks, one that does not build, one that does not apply, one that does nothing.
fn patches(folder: &Path) -> PathBuf {
    let repaired = ORIGINAL.replace("lists", "checks lists");
    let broken = repaired.replace("lock", "no lock");
    let unbuilt = broken.replace("first", "syntax error");
    let texts = [
        ("Repair", diff(ORIGINAL, &repaired)),
        ("Break", diff(&repaired, &broken)),
        ("Build not", diff(&broken, &unbuilt)),
        ("Apply not", diff("other\n", "text\n")),
        ("Build again", diff(&unbuilt, &broken)),
        ("Do nothing", diff(&broken, &broken.replace("last", "end"))),
    ];
    let to = folder.join("patches");
    fs::create_dir(&to).unwrap();
    for (number, (title, diff)) in (1..).zip(texts) {
        fs::write(to.join(format!("{number:04}.patch")), format!("Subject: [PATCH] {title}\n\nWhy.\n---\n{diff}"))
            .unwrap();
    }
    to
}

/// The repository of a source with these patches, as the command makes it, and what is to be compared.
fn series(folder: &Path, patches: &Path, each_alone: bool) -> (Repository, Series) {
    let original = folder.join("original");
    fs::create_dir_all(&original).unwrap();
    fs::write(original.join("kernel.c"), ORIGINAL).unwrap();
    let mails = mails::read(patches).unwrap();
    let tree = folder.join("tree");
    let repository = Repository::of_patched(&tree, &original, "source", &mails).unwrap();
    fs::create_dir_all(tree.join("src")).unwrap();
    if !tree.join("src/kernel.c").exists() {
        fs::copy(original.join("kernel.c"), tree.join("src/kernel.c")).unwrap();
    }
    let commit = repository.base().unwrap().to_owned();
    let base = repository.revision(&commit, "base").unwrap();
    let patches = applied(&repository, &base, &mails, each_alone).unwrap();
    (repository, Series { base, base_commit: None, patches, each_alone, left_out: Vec::new() })
}

/// What came of it, with how many builds and runs it took.
fn run(folder: &Path, patches: &Path, each_alone: bool, patience: usize) -> (SeriesReport, [usize; 2]) {
    let (repository, series) = series(folder, patches, each_alone);
    let bench = Imagined::new(&repository, &folder.join("tree/src"), patience);
    let report = compare(&judging(&bench, folder), &series, |_, _| ()).unwrap();
    (report, bench.counts())
}

fn standings(report: &SeriesReport) -> Vec<(&str, PatchStanding, Option<String>)> {
    let row = |row: &'_ PatchRow| row.first().map(super::Difference::words);
    report.rows.iter().map(|one| (one.title.as_str(), one.standing, row(one))).collect()
}

const ENOUGH: usize = 1000;

#[test]
fn each_patch_is_compared_with_the_kernel_before_it() {
    use PatchStanding::{Better, DoesNotApply, DoesNotBuild, Same, Worse};
    let folder = tempfile::tempdir().unwrap();
    let (report, counts) = run(folder.path(), &patches(folder.path()), false, ENOUGH);
    let expected = [
        ("Repair", Better, Some("bad-image-no-sigstruct: xfail -> xpass".to_owned())),
        ("Break", Worse, Some("plain: passed -> failed (lockstep)".to_owned())),
        ("Build not", DoesNotBuild, None),
        ("Apply not", DoesNotApply, None),
        ("Build again", Same, None),
        ("Do nothing", Same, None),
    ];
    assert_eq!(standings(&report), expected);
    assert_eq!(report.rows[2].reason.as_deref(), Some("kernel.c:1:1: error: syntax"));
    assert!(report.rows[3].reason.as_ref().unwrap().contains("kernel.c"), "{:?}", report.rows[3]);
    // The fifth has the source of the second, whose results are known.
    assert_eq!(counts, [5, 8]);
    assert_eq!(report.exit() as u8, 1);
}

#[test]
fn each_alone_is_compared_with_the_base() {
    use PatchStanding::{Better, DoesNotApply, Same, Worse};
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = run(folder.path(), &patches(folder.path()), true, ENOUGH);
    let standings: Vec<PatchStanding> = report.rows.iter().map(|row| row.standing).collect();
    assert_eq!(standings[..2], [Better, Worse]);
    assert_eq!(standings[3..], [DoesNotApply, DoesNotApply, Same]);
}

#[test]
fn goes_on_where_it_was_stopped() {
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = run(whole.path(), &patches(whole.path()), false, ENOUGH);
    let folder = tempfile::tempdir().unwrap();
    let patches = patches(folder.path());
    let (stopped, _) = run(folder.path(), &patches, false, 3);
    assert_eq!((stopped.rows.len(), stopped.left, stopped.exit() as u8), (0, 6, 125));
    // A kill leaves half a line, and a lock of git's.
    let results = folder.path().join("results.jsonl");
    let text = fs::read_to_string(&results).unwrap();
    fs::write(&results, text + "{\"kind\":\"ru").unwrap();
    fs::write(folder.path().join("tree/git/index.lock"), "").unwrap();
    let (report, counts) = run(folder.path(), &patches, false, ENOUGH);
    assert_eq!(report, expected);
    assert_eq!(counts, [4, 5], "three of eight runs were known");
    let (again, counts) = run(folder.path(), &patches, false, ENOUGH);
    assert_eq!((again, counts), (expected, [0, 0]));
}

#[test]
fn trouble_of_the_rig_is_no_failure_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let patches = folder.path().join("one.diff");
    fs::write(&patches, diff(ORIGINAL, &ORIGINAL.replace("last", "no disk"))).unwrap();
    for runs in [4, 1] {
        let (report, counts) = run(folder.path(), &patches, false, ENOUGH);
        let lost = ("one", PatchStanding::NotJudged, Some("plain: passed -> rig-error".to_owned()));
        assert_eq!((standings(&report), counts[1]), (vec![lost], runs));
        assert_eq!(report.exit() as u8, 125);
    }
}

/// A history of twenty commits after the first. The 13th breaks the lock; the 10th does not build, and the 11th repairs that.
fn history(tree: &Path) -> Git {
    fs::create_dir(tree).unwrap();
    let git = Git::at(tree);
    git.run(&["init", "--quiet"]).unwrap();
    for number in 0..=20 {
        let lock = if number < 13 { "lock" } else { "no lock" };
        let first = if number == 10 { "syntax error" } else { "first" };
        fs::write(tree.join("kernel.c"), format!("{first}\n{lock}\nversion {number}\n")).unwrap();
        git.run(&["add", "kernel.c"]).unwrap();
        git.run(&["commit", "--quiet", "-m", &format!("commit {number}")]).unwrap();
        git.run(&["tag", &format!("c{number}")]).unwrap();
    }
    git
}

fn bisection(
    folder: &Path,
    tree: &Path,
    range: [&str; 2],
) -> (Result<bisect::FirstBad, Trouble>, Vec<Step>, [usize; 2]) {
    let (clone, mut steps) = (folder.join("clone"), Vec::new());
    let open = || Repository::of_tree(&clone, tree).unwrap();
    let (repository, mut history) = (open(), open());
    let [good, bad] = range.map(|name| repository.resolve(tree, name).unwrap());
    let bench = Imagined::new(&repository, &clone.join("src"), ENOUGH);
    let mut judging = judging(&bench, folder);
    let found = bisect::bisect(&mut judging, &mut history, [&good, &bad], |step| steps.push(step.clone()));
    (found, steps, bench.counts())
}

#[test]
fn a_bisection_of_twenty_commits_finds_the_planted_one_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("linux");
    let before = history(&tree).run(&["for-each-ref"]).unwrap();
    let (found, steps, counts) = bisection(folder.path(), &tree, ["c0", "c20"]);
    let found = found.unwrap();
    assert_eq!(found.commits.iter().map(|(_, title)| title.as_str()).collect::<Vec<_>>(), ["commit 13"]);
    assert_eq!(found.worse[0].words(), "plain: passed -> failed (lockstep)");
    assert!(
        steps.iter().any(|step| step.title == "commit 10" && step.standing == PatchStanding::DoesNotBuild),
        "{steps:?}"
    );
    assert!(steps.len() <= 7 && counts[0] <= 9, "{steps:?}");
    assert_eq!(found.exit() as u8, 0);
    let (again, _, counts) = bisection(folder.path(), &tree, ["c0", "c20"]);
    assert_eq!((again.unwrap(), counts), (found, [0, 0]));
    assert_eq!(Git::at(&tree).run(&["for-each-ref"]).unwrap(), before, "the tree is only read");
}

#[test]
fn what_is_hidden_behind_skipped_commits_is_named_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("linux");
    history(&tree);
    let text = fs::read_to_string(tree.join("kernel.c")).unwrap();
    let git = Git::at(&tree);
    for (number, text) in
        [(21, text.replace("no lock", "lock")), (22, "syntax error\n".into()), (23, "first\nno lock\n".into())]
    {
        fs::write(tree.join("kernel.c"), text).unwrap();
        git.run(&["commit", "--quiet", "-a", "-m", &format!("commit {number}")]).unwrap();
    }
    let (found, ..) = bisection(folder.path(), &tree, ["HEAD~2", "HEAD"]);
    let found = found.unwrap();
    let mut titles: Vec<&str> = found.commits.iter().map(|(_, title)| title.as_str()).collect();
    titles.sort_unstable();
    assert_eq!((titles, found.exit() as u8), (vec!["commit 22", "commit 23"], 125));
}

#[test]
fn two_commits_that_are_alike_have_no_first_bad_one_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("linux");
    history(&tree);
    let (found, ..) = bisection(folder.path(), &tree, ["c0", "c9"]);
    assert!(found.unwrap_err().cause.contains("commit 9 is no worse than commit 0"));
}

#[test]
fn the_commit_of_a_mail_is_found_in_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("linux");
    let git = history(&tree);
    let mail = git.run(&["format-patch", "-1", "--stdout", "c13"]).unwrap();
    let diff = &mails::of_text(mail.as_bytes(), "x").unwrap()[0].diff;
    let commit = super::git::commit_of_patch(&tree, diff).unwrap();
    assert_eq!(commit.unwrap(), git.run(&["rev-parse", "c13"]).unwrap());
    assert_eq!(super::git::commit_of_patch(&tree, super::mails::tests::DIFF.as_bytes()).unwrap(), None);
}

#[test]
fn what_is_no_repository_is_told_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let trouble = Repository::of_tree(&folder.path().join("clone"), folder.path()).unwrap_err();
    assert!(trouble.cause.contains("is no git repository") && trouble.help.contains("git init"), "{trouble:?}");
}
