use super::*;
use crate::fake::Fake;
use crate::lock::Lock;

const SETTING: &str = "/proc/sys/debug/kprobes-optimization";

fn restore(fake: &Fake) -> Restore {
    let lock = Lock::take(&fake.host()).unwrap();
    Restore::new(&fake.host(), Journal::open(&fake.host(), lock).unwrap())
}

fn setting(value: &str) -> Undo {
    Undo::Setting { path: SETTING.into(), value: value.into() }
}

/// The old value is on the disk before the change, and comes back whatever the way out.
#[test]
fn what_was_changed_is_put_back() {
    let fake = Fake::new();
    fake.put(SETTING, "1\n");
    let mut changed = restore(&fake);
    changed.before(setting("1")).unwrap();
    assert_eq!(pending(&fake.host()).len(), 1);
    fake.host().write(SETTING, "0").unwrap();
    assert_eq!(changed.undo_all(), Vec::<String>::new());
    assert_eq!(fake.host().read(SETTING).unwrap(), "1");
    assert!(pending(&fake.host()).is_empty());
    drop(changed);
    let mut dropped = restore(&fake);
    dropped.before(setting("1")).unwrap();
    fake.host().write(SETTING, "0").unwrap();
    drop(dropped);
    assert_eq!(fake.host().read(SETTING).unwrap(), "1");
    assert!(pending(&fake.host()).is_empty());
}

#[test]
fn changes_are_undone_in_reverse() {
    let fake = Fake::new();
    fake.put(SETTING, "1\n");
    let mut restore = restore(&fake);
    for (old, new) in [("1", "2"), ("2", "3")] {
        restore.before(setting(old)).unwrap();
        fake.host().write(SETTING, new).unwrap();
    }
    assert!(restore.undo_all().is_empty());
    assert_eq!(fake.host().read(SETTING).unwrap(), "1");
}

/// A failure is reported, does not stop the other steps, and stays in the journal, so that a later command can repair it.
#[test]
fn what_cannot_be_put_back_stays_on_the_list() {
    let fake = Fake::new();
    fake.put(SETTING, "0\n");
    let mut changed = restore(&fake);
    changed.before(setting("1")).unwrap();
    changed.before(Undo::Online { cpus: vec![0, 1, 2] }).unwrap();
    fake.host().write("/sys/devices/system/cpu/cpu2/online", "0").unwrap();
    fake.fail("/sys/devices/system/cpu/cpu2/online", "1", 0, u32::MAX);
    let failures = changed.undo_all();
    assert!(failures.len() == 1 && failures[0].contains("cpu2/online"), "{failures:?}");
    assert_eq!(fake.host().read(SETTING).unwrap(), "1");
    assert_eq!(pending(&fake.host()).len(), 1);
    drop(changed);
    fake.fail("/sys/devices/system/cpu/cpu2/online", "1", 0, 1);
    let lock = Lock::take(&fake.host()).unwrap();
    let mut later = Restore::of_earlier_command(&fake.host(), Journal::open(&fake.host(), lock).unwrap());
    assert!(later.undo_all().is_empty(), "the second try brings it online");
    assert_eq!(fake.host().read("/sys/devices/system/cpu/online").unwrap(), "0-3");
    assert!(pending(&fake.host()).is_empty());
}

#[test]
fn a_reboot_undoes_everything() {
    let fake = Fake::new();
    fake.put(BOOT, "first\n");
    let mut restore = restore(&fake);
    restore.before(setting("1")).unwrap();
    restore.forget();
    assert_eq!(pending(&fake.host()).len(), 1);
    fake.put(BOOT, "second\n");
    assert!(pending(&fake.host()).is_empty());
}

/// The change is not made where its way back cannot be written down.
#[test]
fn no_change_without_a_line_in_the_journal() {
    let fake = Fake::new();
    let mut restore = restore(&fake);
    fake.put("/var/lib/seamrig/journal.full", "");
    assert!(restore.before(setting("1")).unwrap_err().cause.contains("journal.jsonl"));
    assert!(restore.changes.is_empty());
}
