//! How a run's machine comes up: from a snapshot, which is made where there is none, or by a boot.

use super::boot_once::{NoSnapshot, make_snapshot};
use super::launch::Start;
use super::snapshot::inputs::inputs;
use super::snapshot::note::read_note;
use super::snapshot::saved::Snapshot;
use crate::run::prepare::prepared::Prepared;
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Progress};
use tokio::runtime::Runtime;

/// The snapshot for this run, made when there is none; or the reason to boot.
pub(crate) fn choose_start(prepared: &Prepared, runtime: &Runtime, progress: &Progress) -> Result<Start, Trouble> {
    if let Some(reason) = prepared.cold_reason() {
        return Ok(Start::Boot(reason.to_owned()));
    }
    let images = Images::open(progress.clone())?;
    let inputs = inputs(prepared)?;
    let what = format!("snapshot ({} CPUs)", prepared.machine().spec.cpus);
    for _ in 0..2 {
        let made = images.snapshot(&what, &inputs, |folder| {
            progress.say("booting once, for a snapshot");
            runtime.block_on(make_snapshot(prepared, folder, inputs.clone()))
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
            Ok(note) => return Ok(Start::Restore(Snapshot::new(folder, note, images))),
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
