//! What judging and recording cost per event: `cargo bench -p rig-judge`.
//!
//! Measured by hand: one number each is all that is asked for, and the shared budget (10 % of a run's time) is far away.

use rig_judge::synthetic::Synthetic;
use rig_judge::{Judge, Recorder, RunEnd};
use std::time::Instant;

const ROUNDS: u32 = 20;

fn main() {
    for lps in [4, 16, 64, 255] {
        let run = Synthetic::new(lps).boot().tds(u64::from(lps)).load().update().load().update();
        let events = run.records.len() as u128 * u128::from(ROUNDS);
        let judged = time(|| {
            let mut judge = Judge::new(run.setup.clone());
            let breaches = run.records.iter().filter_map(|record| judge.observe(record)).count();
            assert_eq!(breaches, 0);
            assert!(judge.finish(&RunEnd::Finished).breaches().is_empty());
        });
        let dir = std::env::temp_dir().join(format!("rig-judge-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary folder can be written");
        let recorded = time(|| {
            let setup = run.setup.clone();
            let mut recorder = Recorder::create(&dir.join("e"), &dir.join("c"), setup).expect("files can be created");
            for record in &run.records {
                assert!(recorder.record(record).expect("the file can be written").is_none());
            }
            recorder.finish(&RunEnd::Finished).expect("the file can be written");
        });
        std::fs::remove_dir_all(&dir).expect("the temporary folder can be removed");
        let (judged, recorded) = (judged / events, recorded / events);
        println!(
            "{lps:>4} LPs, {:>6} events: judged {judged} ns per event, recorded and judged {recorded} ns",
            run.records.len()
        );
    }
}

/// Nanoseconds that all rounds take.
fn time(mut round: impl FnMut()) -> u128 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    start.elapsed().as_nanos()
}
