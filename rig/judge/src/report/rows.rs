//! What is known of a run beside what was judged, as rows of a name and lines, for the terminal and the page.

use crate::Attempt;
use crate::origin::KernelImage;
use crate::verdict::Facts;

/// Attempts that have a line each; of a longer run only those that failed have.
const ATTEMPTS_SHOWN: usize = 8;

/// The rows that have something to say. `verbose`: those of how the run was made, too.
pub(super) fn rows(facts: &Facts, arrow: &str, verbose: bool) -> Vec<(&'static str, Vec<String>)> {
    let image = facts.kernel_image.as_ref().map(KernelImage::summary);
    let rows = [
        ("kernel", kernel(facts).into_iter().chain(image).collect()),
        ("rig", vec![facts.rig.summary()]),
        ("CPUs", (facts.cpus != 0).then(|| facts.cpus.to_string()).into_iter().collect()),
        ("module", module(facts, arrow).into_iter().collect()),
        ("updates", updates(facts)),
        ("backend", backend(facts, verbose).into_iter().collect()),
        ("digest", facts.digest.iter().cloned().collect()),
        ("seed", facts.seed.iter().map(u64::to_string).collect()),
    ];
    rows.into_iter().filter(|(_, lines): &(_, Vec<String>)| !lines.is_empty()).collect()
}

fn kernel(facts: &Facts) -> Option<String> {
    let build = facts.kernel_image.as_ref().and_then(|image| image.build.as_deref());
    let build = build.map(|build| format!(" {build}")).unwrap_or_default();
    Some(format!("Linux {}{build}, subject {}", facts.kernel.as_ref()?, facts.subject))
}

/// How SEAMCALLs reached the firmware; of the usual way nothing is said unless asked for.
fn backend(facts: &Facts, verbose: bool) -> Option<String> {
    let is_usual = facts.backend.name == "tcg" && facts.clock != "deterministic";
    if facts.backend.name.is_empty() || is_usual && !verbose {
        return None;
    }
    let clock = if facts.clock.is_empty() { String::new() } else { format!(", {} clock", facts.clock) };
    let reason = Some(&facts.backend.reason).filter(|reason| verbose && !reason.is_empty());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!("{}{clock}{reason}", facts.backend.name))
}

/// What ran and what runs, or why that was not read back.
fn module(facts: &Facts, arrow: &str) -> Option<String> {
    let name = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
    let before = name(&facts.module_before);
    match (&facts.module_unread, &facts.module_before, &facts.module_after) {
        (Some(why), ..) => {
            let firmware = facts.module_in_firmware.as_ref();
            let firmware = firmware.map(|words| format!("; the emulated firmware had {words}")).unwrap_or_default();
            Some(format!("{before} {arrow} not read back: {why}{firmware}"))
        }
        (None, None, None) => None,
        (None, _, after) => Some(format!("{before} {arrow} {}", name(after))),
    }
}

/// One line for each attempt; where nobody read back what became of each, their number.
fn updates(facts: &Facts) -> Vec<String> {
    let attempts = &facts.attempts;
    if attempts.is_empty() {
        return if facts.cpus == 0 { Vec::new() } else { vec![facts.updates.to_string()] };
    }
    if attempts.len() <= ATTEMPTS_SHOWN {
        return attempts.iter().map(Attempt::summary).collect();
    }
    let failed: Vec<&Attempt> = attempts.iter().filter(|attempt| !attempt.is_done()).collect();
    let mut lines = vec![format!("{} of {} done", attempts.len() - failed.len(), attempts.len())];
    lines.extend(failed.iter().take(ATTEMPTS_SHOWN).map(|attempt| attempt.summary()));
    if failed.len() > ATTEMPTS_SHOWN {
        lines.push(format!("and {} more that failed", failed.len() - ATTEMPTS_SHOWN));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttemptOutcome;
    use crate::verdict::Backend;

    fn lines(facts: &Facts, verbose: bool, name: &str) -> Vec<String> {
        rows(facts, "->", verbose).into_iter().find(|(own, _)| *own == name).map_or_else(Vec::new, |(_, lines)| lines)
    }

    fn attempt(number: u32, outcome: AttemptOutcome) -> Attempt {
        let to = (outcome == AttemptOutcome::Done).then(|| "1.5.07".to_owned());
        Attempt { number, from: None, to, outcome, error: None, failed_call: None, tds_lost: 0 }
    }

    #[test]
    fn a_version_that_was_not_read_back_is_not_named() {
        let read = Facts { module_before: Some("1.5.06".into()), module_after: None, ..Facts::default() };
        assert_eq!(lines(&read, false, "module"), ["1.5.06 -> none"]);
        let unread = Facts { module_unread: Some("the machine was ended at the breach".into()), ..read };
        assert_eq!(lines(&unread, false, "module"), ["1.5.06 -> not read back: the machine was ended at the breach"]);
        let asked = Facts { module_in_firmware: Some("TDX module 1.5.07: SysReady".into()), ..unread };
        assert!(lines(&asked, false, "module")[0].ends_with("; the emulated firmware had TDX module 1.5.07: SysReady"));
    }

    #[test]
    fn each_attempt_has_a_line_and_a_long_run_names_the_failed_ones() {
        let mut facts = Facts { cpus: 4, updates: 3, ..Facts::default() };
        assert_eq!(lines(&facts, false, "updates"), ["3"]);
        facts.attempts = vec![attempt(1, AttemptOutcome::Done), attempt(2, AttemptOutcome::Lost)];
        assert_eq!(lines(&facts, false, "updates"), ["update 1 to 1.5.07 done", "update 2 LOST the module"]);
        facts.attempts = (1..20).map(|number| attempt(number, AttemptOutcome::Done)).collect();
        facts.attempts.push(attempt(20, AttemptOutcome::NotEnded));
        assert_eq!(lines(&facts, false, "updates"), ["19 of 20 done", "update 20 did not end"]);
        facts.attempts = (1..=10).map(|number| attempt(number, AttemptOutcome::NotEnded)).collect();
        assert_eq!(lines(&facts, false, "updates")[9], "and 2 more that failed");
        // As many as are shown, and one that is not named since it succeeded.
        facts.attempts.truncate(ATTEMPTS_SHOWN);
        facts.attempts.push(attempt(9, AttemptOutcome::Done));
        let of_eight = lines(&facts, false, "updates");
        assert_eq!((of_eight.len(), of_eight[0].as_str()), (1 + ATTEMPTS_SHOWN, "1 of 9 done"), "{of_eight:?}");
    }

    #[test]
    fn the_usual_backend_is_told_when_asked_for() {
        let backend = Backend { name: "tcg".into(), reason: "asked for".into() };
        let mut facts = Facts { backend, clock: "parallel".into(), ..Facts::default() };
        assert_eq!(lines(&facts, false, "backend"), [] as [&str; 0]);
        assert_eq!(lines(&facts, true, "backend"), ["tcg, parallel clock: asked for"]);
        facts.clock = "deterministic".into();
        assert_eq!(lines(&facts, false, "backend"), ["tcg, deterministic clock"]);
    }
}
