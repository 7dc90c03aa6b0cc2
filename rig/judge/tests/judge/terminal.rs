//! What the terminal shows beside the words that every report has: colours, and where a run hangs.

use rig_judge::report::{Look, terminal};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::verdict::{CpuDiagnosis, Diagnosis, TaskDiagnosis};
use rig_judge::{Facts, Outcome, Verdict};
use rstest::rstest;

const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";

#[rstest]
#[case(Outcome::Passed, GREEN)]
#[case(Outcome::Xfail, YELLOW)]
#[case(Outcome::Skipped, YELLOW)]
#[case(Outcome::Unjudged, YELLOW)]
#[case(Outcome::Xpass, RED)]
#[case(Outcome::Failed, RED)]
#[case(Outcome::Hung, RED)]
#[case(Outcome::RigError, RED)]
fn the_first_words_colour_is_that_of_the_outcome(#[case] outcome: Outcome, #[case] colour: &str) {
    let text = terminal(&Verdict::unjudged(Facts::default(), outcome, "for a reason", None), Look::RICH);
    let first = text.lines().next().unwrap();
    let found: Vec<&str> = [GREEN, YELLOW, RED].into_iter().filter(|one| first.contains(one)).collect();
    assert_eq!(found, [colour], "{first:?}");
}

/// Of the invariants only the broken one is bold.
#[test]
fn the_name_of_a_broken_invariant_is_bold() {
    let run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
    let text = terminal(&Verdict::new(Facts::default(), &run.judge().0, &run.end), Look::RICH);
    assert!(text.contains("\u{1b}[1mlockstep        \u{1b}[0m"), "{text}");
    assert!(!text.contains("\u{1b}[1mparticipation"), "{text}");
}

fn hung(firmware: &str) -> String {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
    let frames: Vec<String> = (0..9).map(|n| format!("frame_{n}")).collect();
    let diagnosis = Diagnosis {
        summary: "CPU 1 is inside P-SEAMLDR".into(),
        cpus: vec![CpuDiagnosis { lp: 1, position: "CPU_INSTALL".into(), stack: frames.clone() }],
        firmware: firmware.into(),
        tasks: vec![TaskDiagnosis { id: 42, name: "kworker".into(), stack: strings(&["schedule", "io_schedule"]) }],
    };
    let facts = Facts { diagnosis: Some(diagnosis), ..Facts::default() };
    terminal(&Verdict::unjudged(facts, Outcome::Hung, "no progress", None), Look::PLAIN)
}

/// Of a CPU's stack the six innermost frames are shown.
#[test]
fn a_hang_says_where_each_cpu_and_task_is() {
    let text = hung("LP 1: inside\nLP 2: outside\n");
    let expected = "
  where it hangs: CPU 1 is inside P-SEAMLDR
    CPU 1    CPU_INSTALL
             frame_0
             frame_1
             frame_2
             frame_3
             frame_4
             frame_5
    task 42  kworker is blocked
             schedule
             io_schedule
    firmware: LP 1: inside
              LP 2: outside
";
    assert!(text.contains(expected), "{text}");
    assert!(!hung(" \n").contains("firmware"));
}
