//! SEAMCALLs from process and interrupt context: the kernel module `tdx_load`, which counts what it does.

use super::tally::Tally;
use super::work::{Last, Step, Work};
use crate::{failure, files, modules};
use rig_wire::agent::{Failure, Load};
use std::thread;
use std::time::Duration;

const MODULE: &str = "tdx_load";
/// One line for each context, `NAME operations=N torn=N success=N ...`, and one for the first unexpected status.
const STATS: &str = "/sys/module/tdx_load/parameters/stats";
/// How often the counts are looked at.
const PAUSE: Duration = Duration::from_millis(20);
/// Counts that no load may have: an operation that found two modules, an exception, an unexpected status.
const WRONG: [&str; 3] = ["torn", "trap", "other"];

/// Loads the module; one thread follows its counts.
pub(super) fn work(load: &Load) -> Result<Work, Failure> {
    let Load::Seamcall { process_hz, timer_hz, ipi_hz, stand_aside } = load else {
        return Err(failure::refused(libc::EINVAL, "no load of SEAMCALLs"));
    };
    let aside = u8::from(*stand_aside);
    let parameters = format!("process_hz={process_hz} timer_hz={timer_hz} ipi_hz={ipi_hz} stand_aside={aside}");
    modules::load(MODULE, &parameters)?;
    let mut before = 0;
    let follow: Step = Box::new(move || {
        thread::sleep(PAUSE);
        let now = operations(&read()?);
        let done = now - before;
        before = now;
        Ok(done)
    });
    Ok(Work { steps: vec![follow], finish: Some(Box::new(finish)) })
}

/// Reads the counts and removes the module.
fn finish(tally: &Tally) -> Last {
    let last = match read() {
        Ok(text) => {
            let counts = counts(&text);
            let wrong = |name: &str| WRONG.iter().any(|w| name.ends_with(&format!(".{w}")));
            for (name, count) in counts.iter().filter(|(name, count)| wrong(name) && *count > 0) {
                let status = text.lines().last().unwrap_or_default();
                tally.count(Err(format!("SEAMCALLs: {name} {count} times ({status})")));
            }
            Last { counts, chains: Vec::new() }
        }
        Err(error) => {
            tally.count(Err(error));
            Last::default()
        }
    };
    if let Err(failure) = modules::unload(MODULE) {
        tally.count(Err(failure.what));
    }
    last
}

fn read() -> Result<String, String> {
    let bytes = files::read(STATS).map_err(|failure| failure.what)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Counts as `CONTEXT.WHAT`.
fn counts(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| -> Vec<(String, u64)> {
        let mut words = line.split_whitespace();
        let context = words.next().unwrap_or_default().to_owned();
        let pair = |word: &str| {
            let (name, number) = word.split_once('=')?;
            Some((format!("{context}.{name}"), number.parse().ok()?))
        };
        words.filter_map(pair).collect()
    };
    text.lines().flat_map(line).collect()
}

/// Operations in all contexts.
fn operations(text: &str) -> u64 {
    counts(text).iter().filter(|(name, _)| name.ends_with(".operations")).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "process operations=3 torn=0 success=9 busy=1\ntimer operations=4 torn=2 success=8 busy=0\nfirst_other=0x0000000000000000\n";

    #[test]
    fn can_count_by_context() {
        assert_eq!(operations(TEXT), 7);
        let counts = counts(TEXT);
        assert!(counts.contains(&("timer.torn".into(), 2)) && counts.contains(&("process.busy".into(), 1)));
        assert_eq!(counts.len(), 8);
    }

    #[test]
    fn cannot_count_what_is_no_number() {
        assert!(counts("first_other=0x0\nprocess operations=many\n").is_empty());
    }
}
