//! Letting the guest do what is due, so that it sleeps when it is saved.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether all CPUs had their timers served.
const LOOK: Duration = Duration::from_millis(50);
/// The soft lockup detector wakes each CPU every 4 s, all of them one after the other (`watchdog_timer_fn()` in kernel/watchdog.c).
/// A kernel without it has no such moment, and is not waited for any longer.
const LIMIT: Duration = Duration::from_secs(6);

/// Sleeps for so long, and then until each CPU has served a timer once more: the next time that all of them wake is then as far away as it
/// can be.
pub(crate) fn rest(time: Duration) {
    thread::sleep(time);
    let (before, started) = (timer_interrupts(), Instant::now());
    while !all_grew(&before, &timer_interrupts()) && started.elapsed() < LIMIT {
        thread::sleep(LOOK);
    }
}

/// Local timer interrupts of each CPU so far.
fn timer_interrupts() -> Vec<u64> {
    parse(&fs::read_to_string("/proc/interrupts").unwrap_or_default())
}

/// The numbers of the line `LOC:` (`proc_interrupts(5)`).
fn parse(text: &str) -> Vec<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("LOC:"));
    line.unwrap_or_default().split_ascii_whitespace().map_while(|word| word.parse().ok()).collect()
}

fn all_grew(before: &[u64], now: &[u64]) -> bool {
    before.iter().zip(now).all(|(before, now)| now > before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_of_each_cpu_are_counted() {
        let text =
            "           CPU0       CPU1\n  0:  7  8  IO-APIC\nLOC:       1200         34   Local timer interrupts\n";
        assert_eq!(parse(text), [1200, 34]);
        assert!(parse("nothing").is_empty());
    }

    #[test]
    fn one_cpu_that_sleeps_is_waited_for() {
        assert!(!all_grew(&[5, 6], &[9, 6]));
        assert!(all_grew(&[5, 6], &[6, 7]));
    }
}
