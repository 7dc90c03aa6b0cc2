//! Boot once, restore ever after: which snapshot belongs to a run, and how one is made and checked.

use super::live::{Live, NoSnapshot};
use super::prepare::Prepared;
use crate::machine::snapshot::{SavedMachine, hex};
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Progress};
use rig_judge::timeline::{EventsReader, Leaf};
use rig_wire::agent::Ready;
use rig_wire::event::Kind;
use seam_emu::{Config, Durations};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::Runtime;

/// Form of what a snapshot's folder holds, and of how a guest is brought to the point where it is taken.
const FORM: u32 = 6;
const NOTE: &str = "snapshot.json";
/// Events of the boot.
pub(super) const EVENTS: &str = "events.bin";
/// Lines of the kernel's log of the boot, in their order.
pub(super) const KERNEL_LOG: &str = "kmsg.log";

/// Leaves that no Linux calls before an update. Faults of these alone leave the boot as it is, so that one snapshot
/// serves them all; that the boot did not call them is checked when it is made.
pub(super) const ONLY_IN_UPDATES: [(Leaf, &str); 3] =
    [(Leaf::INSTALL, "SEAMLDR.INSTALL"), (Leaf::SHUTDOWN, "TDH.SYS.SHUTDOWN"), (Leaf::UPDATE, "TDH.SYS.UPDATE")];

/// How a run's machine comes up.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// It boots, for this reason.
    Boot(String),
    /// It goes on where a booted one was saved.
    Restore(Snapshot),
}

/// A usable snapshot. While it lives the cache keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    folder: PathBuf,
    /// What was told when it was made.
    pub(crate) note: Arc<Note>,
    _images: Arc<Images>,
}

/// What stands beside the states of a saved machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    form: u32,
    /// All that decided how it booted.
    inputs: Value,
    /// Hash of all that a run takes over: both states, the boot's events and its part of the kernel's log.
    digest: String,
    /// The agent's first message.
    pub(crate) ready: Ready,
    /// The kernel offers no update.
    pub(crate) absent: bool,
    /// The errno with which the subject refused to be loaded.
    pub(crate) refused: Option<i32>,
}

impl Note {
    /// Of a machine that booted from `inputs` and was saved in `folder`, with what was recorded meanwhile.
    pub(super) fn new(
        inputs: Value,
        folder: &Path,
        ready: Ready,
        (absent, refused): (bool, Option<i32>),
    ) -> Result<Self, Trouble> {
        check_log(&folder.join(EVENTS), &folder.join(KERNEL_LOG))?;
        let digest = digest(folder).map_err(|e| Trouble::file("read", folder, &e))?;
        Ok(Self { form: FORM, inputs, digest, ready, absent, refused })
    }

    /// Writes it into its folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Trouble> {
        let path = folder.join(NOTE);
        let text = serde_json::to_vec_pretty(self).expect("a note is plain data");
        std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
    }
}

impl Snapshot {
    /// The saved machine.
    pub(crate) fn machine(&self) -> SavedMachine {
        SavedMachine::within(&self.folder)
    }

    /// A file beside the states.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts to compare all that is taken over with its hash, which takes as long as QEMU takes to start.
    pub(crate) fn check(&self) -> JoinHandle<Result<(), Trouble>> {
        let (expected, folder) = (self.note.digest.clone(), self.folder.clone());
        std::thread::spawn(move || match digest(&folder) {
            Ok(digest) if digest == expected => Ok(()),
            Ok(_) => {
                // Without its note nobody takes it any more, and the next run makes another. When it cannot be removed the
                // next run comes to the same end as this one.
                let _ = std::fs::remove_file(folder.join(NOTE));
                let help = "run it again: another snapshot is made then";
                Err(Trouble::environment(format!("the snapshot {} is damaged", folder.display()), help))
            }
            Err(e) => Err(Trouble::file("read the snapshot", &folder, &e)),
        })
    }
}

/// The snapshot for this run, made when there is none; or the reason to boot.
pub(super) fn choose(prepared: &Prepared, runtime: &Runtime, progress: &Progress) -> Result<Start, Trouble> {
    if let Some(reason) = prepared.cold_reason() {
        return Ok(Start::Boot(reason.to_owned()));
    }
    let images = Images::open(progress.clone())?;
    let inputs = inputs(prepared)?;
    let what = format!("snapshot ({} CPUs)", prepared.spec.cpus);
    for _ in 0..2 {
        let made = images.snapshot(&what, &inputs, |folder| {
            progress.say("booting once, for a snapshot");
            runtime.block_on(Live::make_snapshot(prepared, folder, inputs.clone()))
        });
        let folder = match made {
            Ok(Ok(folder)) => folder,
            Ok(Err(NoSnapshot::Interrupted)) => return Err(Trouble::environment("interrupted", "run it again")),
            Ok(Err(NoSnapshot::Failed(trouble))) => {
                return Ok(Start::Boot(format!("no snapshot could be made: {}", trouble.cause)));
            }
            Err(error @ ImagesError::DiskFull(_)) => return Ok(Start::Boot(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        match read_note(&folder, &inputs) {
            Ok(note) => {
                return Ok(Start::Restore(Snapshot { folder, note: Arc::new(note), _images: Arc::new(images) }));
            }
            Err(why) => {
                progress.say(&format!("the snapshot {} is not used: {why}", folder.display()));
                if !images.drop_snapshot(&folder)? {
                    return Ok(Start::Boot(format!("the snapshot is not usable ({why}) and another run uses it")));
                }
            }
        }
    }
    Ok(Start::Boot("the snapshot is not usable, and neither was a new one".into()))
}

/// The note of a snapshot that was made from these inputs, else why it is of no use.
fn read_note(folder: &Path, inputs: &Value) -> Result<Note, String> {
    let text = std::fs::read(folder.join(NOTE)).map_err(|e| format!("it has no note: {e}"))?;
    let note: Note = serde_json::from_slice(&text).map_err(|e| format!("its note is malformed: {e}"))?;
    if note.form != FORM {
        return Err(format!("it is of form {}, not {FORM}", note.form));
    }
    if note.inputs != *inputs {
        return Err("it was made from something else".into());
    }
    let machine = SavedMachine::within(folder);
    for path in [machine.qemu, machine.firmware, folder.join(EVENTS), folder.join(KERNEL_LOG)] {
        if !path.is_file() {
            return Err(format!("{} is missing", path.display()));
        }
    }
    Ok(note)
}

/// A hash of all that a run takes over from a snapshot.
fn digest(folder: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(SavedMachine::within(folder).digest()?);
    for name in [EVENTS, KERNEL_LOG] {
        let mut file = File::open(folder.join(name))?;
        hash.update(file.metadata()?.len().to_le_bytes());
        io::copy(&mut file, &mut hash)?;
    }
    Ok(hex(&hash.finalize()))
}

/// Checks that the events refer to each line of the kernel's log once, so that a run that takes them over judges all of it.
fn check_log(events: &Path, log: &Path) -> Result<(), Trouble> {
    let damaged =
        |why: String| Trouble::environment(format!("the boot's recording cannot be kept: {why}"), "boot with --cold");
    let lines = std::fs::read(log).map_err(|e| Trouble::file("read", log, &e))?;
    let lines = String::from_utf8_lossy(&lines).lines().count();
    let mut referred = 0;
    for record in EventsReader::open(events).map_err(|e| damaged(e.to_string()))? {
        let record = record.map_err(|e| damaged(e.to_string()))?;
        referred += usize::from(record.kind == Kind::Console as u16);
    }
    if referred == lines {
        return Ok(());
    }
    Err(damaged(format!("its events refer to {referred} lines of the kernel's log, which has {lines}")))
}

/// The same without what hosts that explore together do not share, and with the judge.
pub(super) fn explored(made_of: &Value) -> Result<Value, Trouble> {
    let mut all = made_of.clone();
    all.as_object_mut().expect("hashes have names").remove("snapshot");
    all["rig"] = json!(hash_file(&own_program()?)?);
    Ok(all)
}

/// Hashes of all that decides a deterministic run, by name.
pub(super) fn made_of(prepared: &Prepared) -> Result<Value, Trouble> {
    let mut all = inputs(prepared)?;
    if let Start::Restore(snapshot) = &prepared.start {
        all["snapshot"] = json!(snapshot.note.digest);
    }
    // Faults of updates are no part of a snapshot's inputs, but of a run's.
    all["firmware"] = json!(prepared.plan.firmware);
    Ok(all)
}

/// All that decides how a guest boots, and so the snapshot's address.
fn inputs(prepared: &Prepared) -> Result<Value, Trouble> {
    let spec = &prepared.spec;
    let emulator = match &spec.plugin {
        Some((library, _)) => hash_file(library)?,
        // It is a part of this program; and a CPU that is the host's is saved as that.
        None => hash_file(&own_program()?)? + &host_cpu(),
    };
    let mut qemu: Vec<_> = prepared.artifacts.iter().filter(|a| a.path.is_none()).map(|a| &a.sha256).collect();
    // They are found by threads side by side, in any order.
    qemu.sort_unstable();
    let own = prepared.own_qemu.as_deref().map(hash_file).transpose()?;
    let plan = &prepared.plan;
    Ok(json!({
        "form": FORM,
        "machine": spec.shape(),
        "kernel": hash_file(&spec.kernel)?,
        "initramfs": hash_file(&spec.initramfs)?,
        "plugin": emulator,
        "qemu": if own.is_some() { json!(own) } else { json!(qemu) },
        "modules": prepared.modules.iter().map(|m| [&m.name, &m.parameters]).collect::<Vec<_>>(),
        "firmware": boot_config(&plan.firmware),
        "module_image": hash_file(&plan.module_image)?,
        "vmx_basic": plan.seamret_keeps_vmcs,
        "deterministic": plan.deterministic,
        // They decide what the boot's events show.
        "watches": plan.watches,
        "functions": plan.functions,
    }))
}

/// The firmware's configuration while the guest boots.
pub(super) fn boot_config(config: &Config) -> Config {
    let at_boot = |leaf: &str| ONLY_IN_UPDATES.iter().all(|(_, name)| *name != leaf);
    let strikes_at_boot = config.faults.iter().any(|fault| at_boot(&fault.leaf));
    let faults = if strikes_at_boot { config.faults.clone() } else { Vec::new() };
    let lasting = config.durations.leaf_ns.iter().filter(|(leaf, _)| at_boot(leaf));
    let durations = Durations { leaf_ns: lasting.map(|(k, v)| (k.clone(), *v)).collect(), ..config.durations.clone() };
    Config { faults, durations, ..config.clone() }
}

fn own_program() -> Result<PathBuf, Trouble> {
    let help = "start the rig from a folder that is still there";
    std::env::current_exe().map_err(|e| Trouble::environment(format!("cannot find the rig's own program: {e}"), help))
}

/// What the host's kernel says of its first CPU, without what changes from moment to moment.
fn host_cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lasting = ["vendor_id", "cpu family", "model", "stepping", "flags"];
    let first = text.split("\n\n").next().unwrap_or_default();
    first.lines().filter(|line| lasting.iter().any(|key| line.starts_with(key))).collect()
}

fn hash_file(path: &Path) -> Result<String, Trouble> {
    let failed = |e| Trouble::file("read", path, &e);
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).map_err(failed)?, &mut hash).map_err(failed)?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::timeline::EventsWriter;
    use rig_judge::{RunEnd, Setup, SubjectNames};
    use rig_wire::event::Record;

    fn config(fault_leaf: &str) -> Config {
        let fault = toml::from_str(&format!("leaf = \"{fault_leaf}\"\naction = \"vm-fail-invalid\"")).unwrap();
        Config { faults: vec![fault], ..Config::for_lps(4) }
    }

    #[test]
    fn faults_of_updates_share_the_snapshot_of_none() {
        assert_eq!(boot_config(&config("SEAMLDR.INSTALL")), Config::for_lps(4));
        assert_ne!(boot_config(&config("TDH.SYS.LP.INIT")), Config::for_lps(4));
    }

    #[test]
    fn durations_of_updates_share_it_too() {
        let mut slow = Config::for_lps(4);
        slow.durations.leaf_ns.insert("SEAMLDR.INSTALL".into(), 7);
        assert_eq!(boot_config(&slow), Config::for_lps(4));
        slow.durations.leaf_ns.insert("TDH.SYS.LP.INIT".into(), 7);
        assert_eq!(boot_config(&slow).durations.leaf_ns.len(), 1);
    }

    fn ready() -> Ready {
        Ready { protocol: 2, kernel: "7.3".into(), cpus_online: "0".into(), cpus_present: "0".into() }
    }

    /// A snapshot's folder, with one line of the kernel's log in its events and `lines` in the log.
    fn saved(lines: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedMachine::within(dir.path());
        std::fs::write(&saved.qemu, "ram").unwrap();
        std::fs::write(&saved.firmware, "firmware").unwrap();
        let setup = Setup::new(4, SubjectNames::in_tree());
        let mut events = EventsWriter::create(&dir.path().join(EVENTS), &setup).unwrap();
        events.append(&Record { kind: Kind::Console as u16, ..Record::default() }).unwrap();
        events.finish(&RunEnd::Stopped).unwrap();
        std::fs::write(dir.path().join(KERNEL_LOG), lines).unwrap();
        dir
    }

    const LINE: &str = "[    0.000001] Linux\n";

    #[test]
    fn a_foreign_or_incomplete_snapshot_is_not_used() {
        let dir = saved(LINE);
        let inputs = json!({ "kernel": "a" });
        assert!(read_note(dir.path(), &inputs).unwrap_err().contains("no note"));
        Note::new(inputs.clone(), dir.path(), ready(), (false, None)).unwrap().write(dir.path()).unwrap();
        read_note(dir.path(), &inputs).unwrap();
        assert!(read_note(dir.path(), &json!({ "kernel": "b" })).unwrap_err().contains("something else"));
        let machine = SavedMachine::within(dir.path());
        for path in [machine.qemu, machine.firmware, dir.path().join(EVENTS), dir.path().join(KERNEL_LOG)] {
            let kept = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(read_note(dir.path(), &inputs).unwrap_err().contains("missing"), "{}", path.display());
            std::fs::write(&path, kept).unwrap();
        }
    }

    #[test]
    fn whatever_is_taken_over_is_covered_by_the_digest() {
        let dir = saved(LINE);
        let kept = digest(dir.path()).unwrap();
        let machine = SavedMachine::within(dir.path());
        for path in [machine.qemu, machine.firmware, dir.path().join(EVENTS), dir.path().join(KERNEL_LOG)] {
            let mut bytes = std::fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_ne!(digest(dir.path()).unwrap(), kept, "{}", path.display());
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, &bytes[1..]).unwrap();
            assert_ne!(digest(dir.path()).unwrap(), kept, "{}", path.display());
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(digest(dir.path()).unwrap(), kept);
        }
    }

    #[test]
    fn a_log_that_does_not_fit_its_events_is_never_kept() {
        for (lines, has) in [("", 0), ("a\nb\n", 2)] {
            let dir = saved(lines);
            let refused = Note::new(json!({}), dir.path(), ready(), (false, None)).unwrap_err();
            assert!(
                refused.cause.contains(&format!("refer to 1 lines of the kernel's log, which has {has}")),
                "{refused}"
            );
        }
    }
}
