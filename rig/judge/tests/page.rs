//! The HTML report in a real browser: headless Chromium opens it from the file system, and its DOM and picture are looked at.
//!
//! Without Chromium the tests say so and judge nothing; with `RIG_REQUIRE_CHROMIUM` set, as in continuous integration, they
//! fail instead. Screenshots stay in the folder `page` of cargo's test artifacts.

use rig_judge::report::html;
use rig_judge::scene::Scene;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::verdict::{CpuDiagnosis, Diagnosis, TaskDiagnosis};
use rig_judge::{Facts, RunEnd, Verdict};
use rstest::rstest;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|p| p.exists());
    let required = std::env::var_os("RIG_REQUIRE_CHROMIUM").is_some();
    assert!(found.is_some() || !required, "no Chromium in PATH; install chromium");
    if found.is_none() {
        // Straight to the stream: the test harness hides what the macros print when a test passes.
        let told = b"skipped: no Chromium in PATH, so the page is not tested; install chromium\n";
        std::io::stderr().write_all(told).expect("standard error takes a line");
    }
    found
}

fn open(browser: &Path, page: &Path, arguments: &[String]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,1300"])
        .args(["--virtual-time-budget=4000", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The DOM after the script ran; a screenshot is left beside the page.
fn dom(name: &str, run: &Synthetic) -> Option<String> {
    let browser = browser()?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&dir).unwrap();
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    let facts = Facts { cpus: run.setup.lps, updates: 1, diagnosis: diagnosis(run), ..Facts::default() };
    let page = dir.join(format!("{name}.html"));
    std::fs::write(&page, html(&scene, &Verdict::new(facts, &run.judge().0, &run.end))).unwrap();
    let picture = dir.join(format!("{name}.png"));
    open(&browser, &page, &[format!("--screenshot={}", picture.display())]);
    assert!(std::fs::metadata(&picture).unwrap().len() > 20_000, "the screenshot is all but empty");
    Some(open(&browser, &page, &["--dump-dom".into()]))
}

/// What the rig finds out of a run that hangs.
fn diagnosis(run: &Synthetic) -> Option<Diagnosis> {
    let stack = vec!["__seamcall+0x1e".to_string(), "multi_cpu_stop+0xe1".to_string()];
    let cpu = CpuDiagnosis { lp: 3, position: "last saw step CPU_INSTALL".into(), stack };
    let tasks =
        vec![TaskDiagnosis { id: 30, name: "kworker/u8:1".into(), stack: vec!["__wait_for_common+0x1/0x2".into()] }];
    let found =
        Diagnosis { summary: "no progress".into(), cpus: vec![cpu], firmware: "LP 3 never returns".into(), tasks };
    matches!(run.end, RunEnd::Hung { .. }).then_some(found)
}

/// The value of the first attribute of this name.
fn attribute<'a>(dom: &'a str, name: &str) -> &'a str {
    let (_, rest) = dom.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in the page"));
    rest.split_once('"').unwrap().0
}

#[rstest]
fn the_page_shows_a_passed_run(#[values(4, 16, 128)] lps: u16) {
    let Some(dom) = dom(&format!("passed-{lps}"), &Synthetic::plain(lps, 1)) else { return };
    assert_eq!(attribute(&dom, "data-ready"), "yes");
    assert!(dom.contains(r#"<span id="verdict" class="passed">PASSED</span>"#));
    assert_eq!(dom.matches("<tr class=\"held\"").count(), 9);
    assert_eq!(dom.matches("<tr class=\"not-applicable\"").count(), 3);
    assert_eq!(attribute(&dom, "data-slices"), (5 * lps).to_string());
    for part in [
        "gathering (stop_machine)",
        "the last CPU acknowledges",
        r#"data-step="CPU_INSTALL""#,
        r#"data-leaf="INSTALL""#,
        "virt/tdx: module updated",
        "CPU_INIT",
    ] {
        assert!(dom.contains(part), "{part}");
    }
    assert!(!dom.contains(r#"class="breach""#));
}

#[test]
fn the_page_shows_a_breach() {
    let run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
    let Some(dom) = dom("failed-4", &run) else { return };
    assert!(dom.contains(r#"<span id="verdict" class="failed">FAILED</span>"#));
    assert!(dom.contains(r#"<div class="breach" data-invariant="lockstep">"#));
    assert!(dom.contains("num_ack = 3"));
}

/// The part of the timeline that a page shows when it is opened, nanoseconds.
fn opened_at(dom: &str) -> (i64, i64) {
    let number = |name| attribute(dom, name).parse().unwrap();
    (number("data-begin"), number("data-end"))
}

#[test]
fn a_page_opens_at_the_breach() {
    let run = Synthetic::new(4).boot().update().twist(Twist::AdvanceEarly).update();
    let Some(dom) = dom("failed-second-4", &run) else { return };
    let (begin, end) = opened_at(&dom);
    let (findings, _) = run.judge();
    let cited: Vec<i64> = findings.breaches()[0].events.iter().map(|event| event.guest_ns.cast_signed()).collect();
    assert!(cited.iter().all(|ns| (begin..end).contains(ns)), "{begin} .. {end}: {cited:?}");
    let span = cited.last().unwrap() - cited[0];
    assert!(end - begin < (20 * span).max(10_000), "{begin} .. {end}: {cited:?}");
}

#[test]
fn a_page_of_a_hang_leaves_out_the_time_in_which_nothing_happens() {
    let run = Synthetic::new(4).boot().twist(Twist::NeverReturns(rig_judge::Step::CpuInstall)).update();
    let Some(dom) = dom("hung-at-4", &run) else { return };
    let (begin, end) = opened_at(&dom);
    assert!(end - begin < 10_000_000, "the imitation hangs for 100 ms: {begin} .. {end}");
}

#[test]
fn the_page_shows_a_call_that_never_returned() {
    let run = Synthetic::new(4).boot().twist(Twist::NeverReturns(rig_judge::Step::CpuInstall)).update();
    let Some(dom) = dom("hung-4", &run) else { return };
    assert!(dom.contains(r#"<span id="verdict" class="hung">HUNG</span>"#));
    assert!(dom.contains(r#"data-invariant="progress""#));
    assert!(dom.contains("multi_cpu_stop+0xe1") && dom.contains("LP 3 never returns"));
}
