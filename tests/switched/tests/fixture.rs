//! On a small crate each mutant ends as it must: noticed, missed, unviable or timed out, with a switch or without.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, io};
use switched_mutants::compile::Recipe;
use switched_mutants::list::Mutant;
use switched_mutants::measure::{Measured, Request, measure};
use switched_mutants::record::Means::{Alone, Switch};
use switched_mutants::record::Outcome::{Missed, Noticed, TimedOut, Unviable};
use switched_mutants::record::Record;
use switched_mutants::report;
use switched_mutants::suite::Patience;
use tempfile::TempDir;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture");

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?.path(), to.to_owned());
        let target = to.join(entry.file_name().expect("it is in a folder"));
        if entry.is_dir() { copy(&entry, &target)? } else { fs::copy(&entry, &target).map(|_| ())? }
    }
    Ok(())
}

/// A copy of the fixture, and where results and programs are.
struct Workshop {
    folder: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new(FIXTURE), &folder.path().join("fixture")).unwrap();
        Self { folder }
    }

    fn request(&self) -> Request {
        let root = self.folder.path().join("fixture");
        Request {
            list: Some(root.join("mutants.json")),
            root,
            recipe: Recipe { package: "fixture".into(), profile: "mutants".into() },
            only: Vec::new(),
            results: self.folder.path().join("results.jsonl"),
            scratch: self.folder.path().join("scratch"),
            workers: 2,
            patience: Patience { factor: 5, at_least: Duration::from_secs(5) },
        }
    }
}

fn measured() -> &'static Measured {
    static MEASURED: OnceLock<Measured> = OnceLock::new();
    MEASURED.get_or_init(|| measure(&Workshop::new().request(), &|line| eprintln!("{line}")).unwrap())
}

/// All mutants with this text in their names.
fn of(text: &str) -> Vec<&'static (Mutant, Record)> {
    let found: Vec<_> = measured().iter().filter(|(mutant, _)| mutant.name.contains(text)).collect();
    assert!(!found.is_empty(), "no mutant has {text} in its name");
    found
}

/// Each mutant whose name contains one of these ends so.
#[test]
fn each_mutant_ends_as_it_must() {
    let table = [
        // Unit tests and integration tests.
        ("in add", Switch, Noticed),
        ("replace named -> Named with Default::default()", Alone, Unviable),
        ("replace untested -> bool", Switch, Missed),
        ("in untested", Switch, Missed),
        ("replace -= with /= in steps", Switch, TimedOut),
        ("replace > with == in steps", Switch, Noticed),
        // The compiler calls it.
        ("in half", Alone, Noticed),
        ("in third", Switch, Noticed),
        ("replace - with +", Alone, Noticed),
        ("replace evens", Alone, Noticed),
        ("in evens", Switch, Noticed),
        ("delete match arm 0 in kind", Switch, Noticed),
        ("replace match guard n > 100 with false in kind", Switch, Noticed),
        ("replace > with >= in kind", Switch, Noticed),
        ("delete field wide", Switch, Noticed),
        ("delete field tall", Switch, Missed),
        // The test tells `a || (b && c)` from `(a || b) && c`, and has nothing to tell of `(a && b) || c`.
        ("76:7: replace && with || in all", Switch, Noticed),
        ("76:12: replace && with || in all", Switch, Missed),
        ("replace && with || in is_large", Alone, Unviable),
        ("delete ! in is_large", Switch, Noticed),
        ("delete ! in abort_unless", Switch, Noticed),
    ];
    for (text, means, outcome) in table {
        for (mutant, record) in of(text) {
            assert_eq!((record.means, record.outcome), (means, outcome), "{}: {record:?}", mutant.name);
        }
    }
}

/// It is the slowest, so that it comes last, and finds what all others miss.
#[test]
fn the_slowest_test_notices_what_no_other_does() {
    let (_, record) = of("replace > with >= in kind")[0];
    assert_eq!(record.by.as_ref().unwrap().test.as_deref(), Some("slow_test_that_notices_what_no_other_does"));
    let (_, record) = of("in add")[0];
    assert_eq!(record.by.as_ref().unwrap().test.as_deref(), Some("tests::adds"));
}

/// The test that was running when a program ended or was ended is named.
#[test]
fn a_program_that_ends_without_a_word_is_noticed_by_its_test() {
    for (text, test) in [("delete ! in abort_unless", "nothing_aborts"), ("/= in steps", "steps_are_counted")] {
        let (_, record) = of(text)[0];
        assert_eq!(record.by.as_ref().unwrap().test.as_deref(), Some(test));
    }
}

/// All of the list is in the table, and the missed ones are named.
#[test]
fn the_report_has_all_of_the_list() {
    let measured = measured();
    let table = report::table(measured);
    assert!(table.contains(&format!("| all | {} | ", measured.len())), "{table}");
    let missed = report::names(measured, Missed);
    assert!(missed.contains("delete field tall") && !missed.contains("delete field wide"), "{missed}");
    assert!(report::names(measured, TimedOut).contains("/= in steps"));
}

/// The same program's results are used again; with another test the missed mutant is run again, and noticed.
#[test]
fn results_count_for_one_program_only() {
    let workshop = Workshop::new();
    let request = Request { only: vec!["delete field".into()], ..workshop.request() };
    let lines = || fs::read_to_string(&request.results).unwrap().lines().count();
    measure(&request, &|_| ()).unwrap();
    assert_eq!(lines(), 2);
    measure(&request, &|_| ()).unwrap();
    assert_eq!(lines(), 2);
    let tests = request.root.join("tests/all.rs");
    let text = fs::read_to_string(&tests).unwrap() + "#[test]\nfn tall() {\n    assert!(options().tall);\n}\n";
    fs::write(&tests, text).unwrap();
    let measured = measure(&request, &|_| ()).unwrap();
    assert!(measured.iter().all(|(_, record)| record.outcome == Noticed), "{measured:?}");
    assert_eq!(lines(), 4);
}

/// A crate whose tests fail by themselves has no result.
#[test]
fn tests_that_fail_without_a_mutant_end_the_measurement() {
    let workshop = Workshop::new();
    let request = Request { only: vec!["in add".into()], ..workshop.request() };
    fs::write(request.root.join("tests/wrong.rs"), "#[test]\nfn wrong() {\n    panic!();\n}\n").unwrap();
    let error = measure(&request, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("fail without a mutant: wrong wrong"), "{error}");
}
