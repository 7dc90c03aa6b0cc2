//! Snapshots, forced interleavings, and the exploration of schedules.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_judge::timeline::EventsReader;
use rig_tests::{Rig, share_host, take_host};
use rig_wire::event::{Kind, Record, flags};
use rstest::rstest;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Only two real runs show that a restored machine is judged as one that booted.
#[test]
fn a_restored_machine_gets_the_verdict_of_one_that_booted() {
    let _host = share_host();
    let rig = Rig::default();
    let cold = rig.go(&["run", "--cold", "--json"]).json(0);
    let warm = rig.go(&["run", "--json"]).json(0);
    assert_eq!((&cold["start"]["from"], &cold["start"]["reason"]), (&"boot".into(), &"asked for".into()));
    assert_eq!(warm["start"]["from"], "snapshot", "{warm:#}");
    for key in ["verdict", "invariants", "module_before", "module_after", "kernel", "updates", "checks"] {
        assert_eq!(cold[key], warm[key], "{key}");
    }
}

/// The state of a snapshot of its own: another kernel argument makes another snapshot.
fn snapshot_state(rig: &Rig, argument: &str) -> (PathBuf, PathBuf) {
    let cache = Images::open(Progress::silent()).expect("the cache opens").cache_folder();
    let scenario = rig.file("own.toml", format!("name = \"own\"\nkernel_arguments = \"{argument}\"\n"));
    rig.go(&["run", scenario.to_str().unwrap(), "--json"]).json(0);
    let entries = std::fs::read_dir(cache.join("entries")).unwrap().flatten().map(|entry| entry.path());
    let is_ours =
        |path: &PathBuf| std::fs::read_to_string(path.join("snapshot.json")).is_ok_and(|note| note.contains(argument));
    (scenario, entries.into_iter().find(is_ours).expect("the run left its snapshot"))
}

/// Only real states show that a snapshot is compared with what was made before a machine goes on from it.
#[test]
fn a_damaged_snapshot_is_never_used() {
    use std::os::unix::fs::FileExt;
    let _host = share_host();
    let rig = Rig::default();
    // An argument of this run alone: another build's snapshot of the same machine would be found in its place.
    let argument = format!("rig.test=damaged-{}", std::process::id());
    let (scenario, folder) = snapshot_state(&rig, &argument);
    let scenario = scenario.to_str().unwrap();
    let state = std::fs::File::options().read(true).write(true).open(folder.join("firmware.state")).unwrap();
    let mut byte = [0];
    state.read_exact_at(&mut byte, 100).unwrap();
    state.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    // It is removed with a sentence, and the same run makes another.
    let healed = rig.go(&["run", scenario, "--json", "--out", "healed"]);
    let verdict = healed.json(0);
    assert!(healed.stderr.contains("was damaged and is removed: firmware.state is not what it was"), "{healed}");
    assert_eq!(verdict["start"]["from"], "snapshot", "{verdict:#}");
    // One whose note is about something else is made again.
    let note = std::fs::read_to_string(folder.join("snapshot.json")).unwrap();
    std::fs::write(folder.join("snapshot.json"), note.replace(&argument, "rig.test=another")).unwrap();
    let verdict = rig.go(&["run", scenario, "--json", "--out", "again"]).json(0);
    assert_eq!(verdict["start"]["from"], "snapshot", "{verdict:#}");
}

/// Watched words of the in-tree update, by their place in the plan.
const STATE: u64 = 0;
const NUM_ACK: u64 = 1;

fn records(run: &Path) -> Vec<Record> {
    EventsReader::open(&run.join("events.bin")).unwrap().map(|record| record.unwrap()).collect()
}

/// The interleaving that a scenario describes happens, and the timeline shows it.
#[test]
fn a_scenario_forces_one_interleaving() {
    let _host = share_host();
    let rig = Rig::default();
    let verdict = rig.go(&["run", "read-before-advance", "--json", "--out", "run"]).json(0);
    let holds = verdict["holds"].as_array().unwrap();
    assert!(holds.len() == 4 && holds.iter().all(|hold| hold["end"] == "satisfied"), "{verdict:#}");
    let records = records(&rig.path("run"));
    let access = |lp, watch, store| {
        move |r: &Record| {
            r.kind == Kind::Watch as u16 && r.lp == lp && r.a == watch && (r.flags & flags::STORE != 0) == store
        }
    };
    let entered = records.iter().position(|r| r.kind == Kind::HoldBegin as u16).expect("a hold began");
    let last_ack = entered + records[entered..].iter().position(access(0, NUM_ACK, true)).expect("CPU 0 acknowledges");
    let advance = last_ack + records[last_ack..].iter().position(access(0, STATE, true)).expect("CPU 0 advances");
    assert_eq!(records[last_ack].b, 4, "CPU 0 is the last to acknowledge");
    let hold = records[last_ack..advance].iter().filter(|r| r.kind == Kind::HoldEnd as u16).count();
    assert_eq!(hold, 1, "CPU 3 read the state while CPU 0 waited to advance it");
}

/// A hold whose partner never comes is let go, named, and fails the run that asked for it.
#[test]
fn a_hold_that_cannot_come_true_is_reported() {
    let _host = share_host();
    let rig = Rig::default();
    let text = "name = \"vain\"\n[[hold]]\ncpu = 1\nat = \"state:2\"\nlimit_ms = 20\n\
                until = { cpu = 0, passes = \"seamcall:TDH.MNG.CREATE:enter\" }\n\
                [[hold]]\ncpu = 2\nat = \"seamcall:TDH.MNG.CREATE:enter\"\nuntil = { time_us = 1 }\n";
    let path = rig.file("vain.toml", text);
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--json"]).json(1);
    let ends: Vec<&str> = verdict["holds"].as_array().unwrap().iter().filter_map(|h| h["end"].as_str()).collect();
    assert_eq!(ends, ["expired", "never reached"], "{verdict:#}");
    assert_eq!(verdict["invariants"]["lockstep"], "held");
}

/// The kernel without the lock around its acknowledgement.
fn unlocked() -> PathBuf {
    let literal = |from: &str| SourceEdit::literal("arch/x86/virt/vmx/tdx/seamldr.c", from, "");
    let edits = vec![literal("raw_spin_lock(&ctrl->lock);"), literal("raw_spin_unlock(&ctrl->lock);")];
    let images = Images::open(Progress::silent()).expect("the cache opens");
    images.kernel(&KernelRequest::edited(edits)).expect("the edited kernel builds").tree.expect("it has its tree")
}

/// What a person has in mind of a lost acknowledgement: both LPs have loaded the counter before either stores it. The third
/// hold has nothing to do with it.
const LOST: &str = "name = \"lost-acknowledgement\"\n\
    [[hold]]\ncpu = 2\nat = \"mem:update_ctrl.num_ack:load\"\n\
    until = { cpu = 1, passes = \"mem:update_ctrl.num_ack:load\" }\n\
    [[hold]]\ncpu = 1\nat = \"mem:update_ctrl.num_ack:store\"\n\
    until = { cpu = 2, passes = \"mem:update_ctrl.num_ack:store\" }\n\
    [[hold]]\ncpu = 3\nat = \"state:4\"\nuntil = { time_us = 20 }\n";

/// Only the race itself shows that seeds find it, that holds bring it back every time, and that none but the needed ones
/// are left.
#[test]
fn a_lost_acknowledgement_is_found_forced_and_shrunk() {
    let _host = take_host();
    let rig = Rig::default();
    let kernel = unlocked();
    let kernel = kernel.to_str().unwrap();
    let found = ["explore", "--seeds", "0..200", "--stop-on-first", "--kernel", kernel, "--out", "found", "--json"];
    let found = rig.go(&found).json(1);
    let failed = &found["failed"][0];
    assert!(failed["broken"].as_array().is_some_and(|b| b.contains(&"lockstep".into())), "{found:#}");
    let path = rig.file("lost.toml", LOST);
    let path = path.to_str().unwrap();
    let again = rig.go(&["replay", path, "--times", "10", "--kernel", kernel, "--json"]).json(1);
    assert_eq!((&again["failed"], &again["runs"]), (&10.into(), &10.into()));
    let small = ["shrink", path, "--repeat", "50", "--kernel", kernel, "--out", "small.toml", "--json"];
    let small = rig.go(&small).json(0);
    // One hold alone may fail every time by luck; without any it would take far more of it.
    assert!(small["holds"].as_u64().is_some_and(|holds| (1..=2).contains(&holds)), "{small:#}");
    // The kernel as it is cannot lose one: the second CPU waits for the lock that the first one holds. So its holds cannot come
    // true there, and what `shrink` wrote passes all the same.
    rig.go(&["replay", path, "--json"]).json(0);
    let whole = std::fs::read_to_string(rig.path("small.toml")).unwrap();
    let fixed: Vec<&str> = whole.lines().filter(|line| !line.starts_with("kernel = ")).collect();
    let fixed = rig.file("fixed.toml", fixed.join("\n"));
    let fixed = rig.go(&["run", fixed.to_str().unwrap(), "--json"]).json(0);
    let holds = fixed["holds"].as_array().unwrap();
    assert!(holds.iter().any(|hold| hold["end"] != "satisfied"), "{fixed:#}");
    assert!(holds.iter().all(|hold| hold["what"].to_string().contains("update_ctrl.num_ack")), "{fixed:#}");
}

/// The same seeds find nothing in the kernel as it is; and a killed exploration goes on where it was.
#[test]
fn the_kernel_as_it_is_passes_and_results_survive_a_kill() {
    let _host = take_host();
    let rig = Rig::default();
    let arguments = ["explore", "--seeds", "0..30", "--out", "all", "--json"];
    let results = rig.path("all/results.jsonl");
    let lines = || std::fs::read_to_string(&results).unwrap_or_default().lines().count();
    let mut child = rig.command(&arguments).stdout(std::process::Stdio::null()).spawn().expect("the rig starts");
    let start = std::time::Instant::now();
    while lines() < 6 && start.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().expect("the rig is killed");
    child.wait().expect("the rig is gone");
    assert!(lines() >= 6, "the rig made no schedules");
    let summary = rig.go(&arguments).json(0);
    assert_eq!(summary["summary"]["rate"]["runs"], 30, "{summary:#}");
    let text = std::fs::read_to_string(&results).unwrap();
    let mut seeds: Vec<u64> = text.lines().skip(1).map(seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..30).collect::<Vec<_>>(), "none is lost and none repeated");
}

fn seed(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["seed"].as_u64().unwrap()
}

/// Shards are what the whole is.
#[test]
fn shards_merge_to_the_whole() {
    let _host = share_host();
    let rig = Rig::default();
    let explore = |out: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["explore", "--seeds", "0..12", "--out", out, "--json"].iter().chain(more).copied().collect();
        rig.go(&arguments).json(0);
    };
    explore("whole", &[]);
    explore("a", &["--shard", "0/2"]);
    explore("b", &["--shard", "1/2"]);
    rig.go(&["merge", "a/results.jsonl", "b/results.jsonl", "--out", "merged.jsonl", "--json"]).json(0);
    let verdicts = |name: &str| {
        let text = std::fs::read_to_string(rig.path(name)).unwrap();
        let mut all: Vec<(u64, String)> = text
            .lines()
            .skip(1)
            .map(|line| (seed(line), serde_json::from_str::<Value>(line).unwrap()["verdict"].to_string()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(verdicts("merged.jsonl"), verdicts("whole/results.jsonl"));
}

/// Each hold executes its instruction thousands of times, between a comparison and its use too; the kernel computes the same as
/// without (a flag that got lost made it count failures that never were).
#[rstest]
fn holds_leave_no_trace_in_the_registers(#[values("parallel", "deterministic")] clock: &str) {
    let _host = share_host();
    let rig = Rig::default();
    let hold = |step: u32, access: &str| {
        format!(
            "[[hold]]\ncpu = 1\nat = \"mem:update_ctrl.num_ack:{access}\"\nnth = {step}\nuntil = {{ time_us = 300 }}\n"
        )
    };
    let holds: String = (1..=5).flat_map(|step| ["load", "store"].map(|access| hold(step, access))).collect();
    let path = rig.file("held.toml", format!("name = \"held\"\n{holds}"));
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--clock", clock, "--json"]).json(0);
    assert_eq!(verdict["invariants"]["stop-on-failure"], "not-applicable", "no CPU failed: {verdict:#}");
}

/// Only repetitions show that a run repeats; another schedule shows that the digest distinguishes runs.
#[test]
fn a_deterministic_run_repeats_bit_for_bit() {
    let _host = share_host();
    let rig = Rig::default();
    let digest = |more: &[&str]| {
        let arguments: Vec<&str> = ["run", "--clock", "deterministic", "--json"].iter().chain(more).copied().collect();
        let verdict = rig.go(&arguments).json(0);
        (verdict["digest"].as_str().expect("a deterministic run has a digest").to_owned(), verdict)
    };
    let restored: Vec<String> = (0..3).map(|_| digest(&["--updates", "2"]).0).collect();
    assert!(restored.iter().all(|one| *one == restored[0]), "{restored:?}");
    let booted: Vec<String> = (0..2).map(|_| digest(&["--cold"]).0).collect();
    assert_eq!(booted[0], booted[1]);
    let (held, verdict) = digest(&["read-before-advance"]);
    assert_ne!(held, digest(&[]).0);
    let holds = verdict["holds"].as_array().unwrap();
    assert!(holds.len() == 4 && holds.iter().all(|hold| hold["end"] == "satisfied"), "{verdict:#}");
}

/// What cannot be repeated is refused, with what to do instead.
#[test]
fn what_breaks_determinism_is_refused() {
    let rig = Rig::default();
    let path = rig.file("during.toml", "name = \"during\"\n[[during]]\nact = \"upload\"\nerrno = 16\n");
    rig.go(&["run", path.to_str().unwrap(), "--clock", "deterministic"]).expect(2).says(&["deterministic", "during"]);
}

/// From a seed to a failure that comes back each time, on the kernel without its lock.
#[test]
fn a_race_is_found_repeated_and_shrunk_on_the_deterministic_clock() {
    let _host = share_host();
    let rig = Rig::default();
    let kernel = unlocked();
    let kernel = kernel.to_str().unwrap();
    let clock = ["--clock", "deterministic", "--kernel", kernel];
    let explore = ["explore", "--seeds", "0..200", "--stop-on-first", "--out", "found", "--json"];
    let found = rig.go(&[&explore[..], &clock].concat()).json(1);
    let run = rig.path("found").join(found["failed"][0]["run"].as_str().expect("evidence is kept"));
    let run = run.to_str().unwrap();
    let again = rig.go(&[&["replay", run, "--times", "10", "--out", "again", "--json"][..], &clock].concat()).json(1);
    assert_eq!((&again["failed"], &again["digest_as_recorded"]), (&10.into(), &true.into()), "{again:#}");
    let small = rig.go(&[&["shrink", run, "--out", "small.toml", "--json"][..], &clock].concat()).json(0);
    assert!(small["holds"].as_u64().is_some_and(|holds| holds <= 3), "{small:#}");
    let path = Path::new(run).join("schedule.json");
    let schedule = std::fs::read_to_string(&path).unwrap();
    let mut changed: Value = serde_json::from_str(&schedule).unwrap();
    changed["made_of"]["plugin"] = "another".into();
    std::fs::write(&path, changed.to_string()).unwrap();
    rig.go(&[&["replay", run, "--out", "refused"][..], &clock].concat()).expect(2).says(&["not as it was", "plugin"]);
}

/// Only a guest whose own load disturbs it shows that explorations make loads: this twin errs only while a CPU comes online.
#[test]
fn a_race_with_a_load_is_found_repeated_and_shrunk() {
    let _host = share_host();
    let rig = Rig::default();
    let load = "name = \"arrival\"\nsubject = \"kmod\"\nload = [{ profile = \"cpu-arrival\" }]\n";
    let scenario = rig.file("arrival.toml", load);
    let scenario = scenario.to_str().unwrap();
    let clock = ["--clock", "deterministic", "--twin", "no-hotplug-lock"];
    let explore = ["explore", scenario, "--seeds", "0..50", "--stop-on-first", "--out", "found", "--json"];
    let found = rig.go(&[&explore[..], &clock].concat()).json(1);
    assert_eq!(found["failed"][0]["broken"], serde_json::json!(["lockstep"]), "{found:#}");
    let run = rig.path("found").join(found["failed"][0]["run"].as_str().expect("evidence is kept"));
    let run = run.to_str().unwrap();
    let again = rig.go(&[&["replay", run, "--times", "5", "--out", "again", "--json"][..], &clock].concat()).json(1);
    assert_eq!((&again["failed"], &again["digest_as_recorded"]), (&5.into(), &true.into()), "{again:#}");
    let small = rig.go(&[&["shrink", run, "--out", "small.toml", "--json"][..], &clock].concat()).json(0);
    assert!(small["holds"].as_u64().is_some_and(|holds| holds <= 3), "{small:#}");
    // It is the error that was found, not the load.
    rig.go(&["explore", scenario, "--seeds", "0..20", "--out", "sound", "--json"]).json(0);
}

/// A load that does nothing tests nothing, however many updates pass beside it.
#[test]
fn an_exploration_whose_load_does_nothing_is_no_pass() {
    let _host = share_host();
    let rig = Rig::default();
    let idle = "name = \"idle\"\nload = [{ profile = \"reader\", threads = 1, paths = [\"/proc/no-such-file\"] }]\n";
    let scenario = rig.file("idle.toml", idle);
    let explore = ["explore", scenario.to_str().unwrap(), "--seeds", "0..2", "--out", "idle"];
    rig.go(&explore).expect(5).says(&["without what was to disturb it"]);
}

/// What a guest under schedules would leave out is refused, not left out in silence.
#[rstest]
#[case("[[switch]]\ncpu = 1\nto = \"offline\"\nwhen = \"before\"\n", "switch")]
#[case("[[during]]\nact = \"upload\"\nerrno = 16\n", "during")]
fn what_no_exploration_makes_is_refused(#[case] part: &str, #[case] key: &str) {
    let rig = Rig::default();
    let path = rig.file("more.toml", format!("name = \"more\"\n{part}"));
    rig.go(&["explore", path.to_str().unwrap(), "--seeds", "0..2"]).expect(2).says(&[key]);
}
