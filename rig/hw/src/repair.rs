//! `rig-hw check --repair`: what a command that was killed left changed is put back.

use crate::check::{Condition, Standing};
use crate::host::Host;
use crate::journal::Journal;
use crate::lock::Lock;
use crate::restore::{REPAIR, Restore, pending};
use crate::trouble::Trouble;
use serde_json::json;

/// What is still changed, as a condition of `check`.
pub(crate) fn left_behind(host: &Host) -> Option<Condition> {
    // A command that is at it has its changes in place by right.
    if !matches!(Lock::holder(host), crate::lock::Holder::Nobody) {
        return None;
    }
    let left = pending(host);
    let what: Vec<String> = left.iter().rev().map(|change| change.undo.to_string()).collect();
    (!left.is_empty()).then(|| Condition {
        name: "left behind",
        standing: Standing::Missing,
        seen: format!("a command was cut short; to do: {}", what.join("; ")),
        remedy: REPAIR.into(),
    })
}

/// Puts back everything, the last change first, and says what it was. Refused while another command is at it.
pub(crate) fn repair(host: &Host) -> Result<Vec<String>, Trouble> {
    let journal = Journal::open(host, Lock::take(host)?)?;
    let left = pending(host);
    let mut restore = Restore::of_earlier_command(host, journal);
    restore.note("repair", json!({ "changes": left.len() }))?;
    let failures = restore.undo_all();
    if let Some(first) = failures.first() {
        let help = "do it by hand; a reboot undoes everything, and --force goes on without it";
        return Err(Trouble::host(format!("{} of {} changes stay: {first}", failures.len(), left.len()), help));
    }
    restore.done(json!({ "restored": left.len() }))?;
    Ok(left.iter().rev().map(|change| change.undo.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::journal::{self, Last};
    use crate::restore::Undo;
    use crate::trouble::Exit;

    const CPU: &str = "/sys/devices/system/cpu/cpu2/online";

    /// A process that was killed with a CPU offline and with probes in place.
    fn killed() -> Fake {
        let fake = Fake::new();
        let journal = Journal::open(&fake.host(), Lock::take(&fake.host()).unwrap()).unwrap();
        let mut restore = Restore::new(&fake.host(), journal);
        restore.before(Undo::Online { cpus: vec![0, 1, 2, 3] }).unwrap();
        fake.host().write(CPU, "0").unwrap();
        restore.before(Undo::Probes { tracefs: "/sys/kernel/tracing".into() }).unwrap();
        fake.host().append("/sys/kernel/tracing/kprobe_events", "p:seamrig/call __seamcall\n").unwrap();
        assert!(left_behind(&fake.host()).is_none(), "it is still at it");
        restore.forget();
        fake
    }

    #[test]
    fn a_killed_command_is_undone() {
        let fake = killed();
        let left = left_behind(&fake.host()).unwrap();
        assert!(left.standing == Standing::Missing && left.seen.contains("remove the probes"), "{left:?}");
        let done = repair(&fake.host()).unwrap();
        assert!(done.len() == 2 && done[0].contains("probes") && done[1].contains("CPUs"), "{done:?}");
        assert_eq!(fake.host().read("/sys/devices/system/cpu/online").unwrap(), "0-3");
        assert_eq!(fake.host().read("/sys/kernel/tracing/kprobe_events").unwrap(), "");
        assert_eq!((left_behind(&fake.host()), journal::last(&fake.host())), (None, Last::Done));
        assert_eq!(repair(&fake.host()), Ok(vec![]), "nothing is left");
    }

    #[test]
    fn what_cannot_be_repaired_stays_reported() {
        let fake = killed();
        fake.fail(CPU, "1", 0, u32::MAX);
        let failed = repair(&fake.host()).unwrap_err();
        assert!(failed.cause.contains("1 of 2 changes stay") && failed.cause.contains("cpu2"), "{failed}");
        let left = left_behind(&fake.host()).unwrap();
        assert!(left.seen.contains("CPUs") && !left.seen.contains("probes"), "{left:?}");
    }

    #[test]
    fn cannot_repair_beneath_a_command_that_is_at_it() {
        let fake = killed();
        let _busy = Lock::take(&fake.host()).unwrap();
        assert_eq!(repair(&fake.host()).unwrap_err().exit, Exit::Refused);
        assert_eq!(fake.host().read(CPU).unwrap(), "0");
    }
}
