use super::*;
use crate::Loads;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn machine(cpus: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..cpus {
        fs::create_dir(folder.path().join(format!("cpu{n}"))).unwrap();
        if n != 0 {
            fs::write(folder.path().join(format!("cpu{n}/online")), "1").unwrap();
        }
    }
    fs::create_dir(folder.path().join("cpufreq")).unwrap();
    folder
}

fn online(machine: &tempfile::TempDir, cpu: u32) -> String {
    fs::read_to_string(machine.path().join(format!("cpu{cpu}/online"))).unwrap()
}

fn storm(place: &Place, machine: &tempfile::TempDir) -> Storm {
    Storm::new(place, switches(machine.path()), Duration::ZERO)
}

/// A place where so many attempts to bring a CPU back fail, as with EBUSY.
fn failing(failures: &Arc<AtomicU32>) -> Loads {
    let left = Arc::clone(failures);
    Loads::on(Machine::new("/", move |path, bytes| {
        let is_back = path.ends_with("online") && bytes == b"1";
        let fails = is_back && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { fs::write(path, bytes) }
    }))
}

/// Whether an update may begin.
fn may_begin(loads: &Loads) -> bool {
    loads.gate().close().missing().is_empty()
}

#[test]
fn can_switch_cpus_in_turn_and_leaves_them_online() {
    let machine = machine(3);
    let mut storm = storm(&Place::default(), &machine);
    let mut states = Vec::new();
    for _ in 0..5 {
        storm.switch_one().unwrap();
        states.push((online(&machine, 1), online(&machine, 2)));
    }
    let states: Vec<_> = states.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(states, [("0", "1"), ("1", "1"), ("1", "0"), ("1", "1"), ("0", "1")]);
    drop(storm);
    assert_eq!(online(&machine, 1), "1");
}

#[test]
fn between_updates_no_cpu_stays_offline() {
    let machine = machine(2);
    let mut storm = storm(&Place::default(), &machine);
    assert_eq!(storm.there_and_back(), Ok(2));
    assert_eq!((online(&machine, 1).as_str(), storm.offline.is_none()), ("1", true));
}

/// A failure is reported, and repaired before another thread can begin: the gate was closed all the time.
#[test]
fn a_cpu_that_does_not_come_back_at_once_comes_back_at_the_next_try() {
    let machine = machine(3);
    let loads = failing(&Arc::new(AtomicU32::new(1)));
    let mut storm = storm(&loads.place, &machine);
    for round in 0..4 {
        assert_eq!(storm.there_and_back().is_err(), round == 0, "the first one says what happened");
        assert_eq!([online(&machine, 1), online(&machine, 2)], ["1", "1"], "round {round}");
        assert!(may_begin(&loads) && storm.offline.is_none());
    }
}

/// What cannot be mended at once keeps updates away, and no other CPU leaves, until it is.
#[test]
fn no_update_may_begin_while_a_cpu_is_missing() {
    let machine = machine(3);
    let failures = Arc::new(AtomicU32::new(u32::MAX));
    let loads = failing(&failures);
    let mut storm = storm(&loads.place, &machine);
    for _ in 0..2 {
        assert!(storm.there_and_back().unwrap_err().contains("cpu1/online"));
        assert_eq!([online(&machine, 1), online(&machine, 2)], ["0", "1"]);
        assert!(!may_begin(&loads));
    }
    for (name, text) in [("status", "idle"), ("error", ""), ("loading", ""), ("data", "")] {
        fs::write(machine.path().join(name), text).unwrap();
    }
    let refused = crate::upload(&loads, machine.path(), b"x", |missing| Err::<(), _>(missing.to_vec())).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("cannot bring it back"), "{refused:?}");
    assert_eq!(fs::read_to_string(machine.path().join("loading")).unwrap(), "-1", "the image is taken back");
    failures.store(0, Ordering::SeqCst);
    assert_eq!(storm.there_and_back(), Ok(2), "the missing one comes back, and the next one leaves and returns");
    assert_eq!([online(&machine, 1), online(&machine, 2)], ["1", "1"]);
    assert!(may_begin(&loads));
}

/// The end of a load is another chance.
#[test]
fn a_load_that_ends_puts_its_cpu_back_online() {
    let machine = machine(2);
    let failures = Arc::new(AtomicU32::new(1 + TRIES));
    let loads = failing(&failures);
    let mut storm = storm(&loads.place, &machine);
    storm.there_and_back().unwrap_err();
    assert_eq!((online(&machine, 1).as_str(), may_begin(&loads)), ("0", false));
    drop(storm);
    assert_eq!((online(&machine, 1).as_str(), may_begin(&loads)), ("1", true));
}

/// A kernel that takes the words and does nothing.
#[test]
fn a_cpu_is_back_when_the_kernel_says_so() {
    let machine = machine(2);
    let loads = Loads::on(Machine::new("/", |path, bytes| if bytes == b"1" { Ok(()) } else { fs::write(path, bytes) }));
    let mut storm = storm(&loads.place, &machine);
    assert!(storm.there_and_back().unwrap_err().contains("is 0, not 1"));
    assert!(!may_begin(&loads));
}

#[test]
fn cannot_switch_cpu_0_or_what_is_no_cpu() {
    assert!(switches(machine(1).path()).is_empty());
}

#[test]
fn cannot_switch_a_cpu_that_is_gone() {
    let machine = machine(2);
    let mut storm = storm(&Place::default(), &machine);
    fs::remove_dir_all(machine.path().join("cpu1")).unwrap();
    assert!(storm.switch_one().unwrap_err().contains("cpu1/online"));
}
