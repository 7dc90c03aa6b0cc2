//! A machine in a file: QEMU's own state, and beside it the state of the firmware that QEMU knows nothing of.

use super::Monitors;
use super::control::{ControlError, Emulator};
use super::qmp::QmpError;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use rig_wire::plan::Control;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Host time that saving or loading may take: 255 vCPUs need some seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// How often QEMU is asked whether it is done.
const LOOK: Duration = Duration::from_millis(2);

/// Why a machine was not saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The monitor failed, or QEMU refused.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The emulated firmware was not saved.
    #[error(transparent)]
    Firmware(#[from] ControlError),
    /// QEMU began and did not succeed.
    #[error("QEMU could not {doing} its state: {why}")]
    Migration {
        /// `save` or `load`.
        doing: &'static str,
        /// QEMU's message.
        why: String,
    },
    /// The path cannot be passed to QEMU, which takes text.
    #[error("the path {0:?} is no UTF-8")]
    Path(PathBuf),
}

/// The files of a saved machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMachine {
    /// QEMU's state, guest memory included; a sparse file.
    pub qemu: PathBuf,
    /// State of the emulated firmware and of the CPU facade.
    pub firmware: PathBuf,
}

impl SavedMachine {
    /// In this folder.
    pub fn within(folder: &Path) -> Self {
        Self { qemu: folder.join("qemu.state"), firmware: folder.join("firmware.state") }
    }

    /// Stops the machine and saves it. It stays stopped.
    pub async fn save(&self, machine: &Monitors, emulator: &Emulator) -> Result<(), SnapshotError> {
        machine.qmp.execute(qapi::qmp::stop {}).await?;
        emulator.freeze();
        self.save_running(machine, emulator).await
    }

    /// Saves the machine as it runs: the loaded one goes on by itself. This one stands still afterwards.
    pub async fn save_running(&self, machine: &Monitors, emulator: &Emulator) -> Result<(), SnapshotError> {
        self.migrate(machine).await?;
        emulator.ask(&Control::Save { path: self.firmware.clone() }).await?;
        Ok(())
    }

    async fn migrate(&self, machine: &Monitors) -> Result<(), SnapshotError> {
        set_mapped_ram(machine).await?;
        machine.raw.execute("migrate", json!({ "uri": uri(&self.qemu)? })).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = machine.raw.execute("query-migrate", json!({})).await?;
            match said["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(failed("save", said["error-desc"].as_str())),
                _ if Instant::now() > deadline => return Err(failed("save", Some("it takes too long"))),
                _ => sleep(LOOK).await,
            }
        }
    }

    /// Loads QEMU's part into a machine that was started to wait for it, and lets it run. The emulator loaded the
    /// firmware's part at its start, as the plan says.
    pub async fn load(&self, machine: &Monitors, emulator: &Emulator) -> Result<(), SnapshotError> {
        set_mapped_ram(machine).await?;
        machine.raw.execute("migrate-incoming", json!({ "uri": uri(&self.qemu)? })).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = machine.raw.execute("query-status", json!({})).await?;
            if said["status"] != "inmigrate" {
                break;
            }
            let progress = machine.raw.execute("query-migrate", json!({})).await?;
            if progress["status"] == "failed" {
                return Err(failed("load", progress["error-desc"].as_str()));
            }
            if Instant::now() > deadline {
                return Err(failed("load", Some("it takes too long")));
            }
            sleep(LOOK).await;
        }
        emulator.go();
        machine.raw.execute("cont", json!({})).await?;
        Ok(())
    }

    /// A hash of both files' contents; holes are skipped, so that it costs what the data costs.
    pub fn digest(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        for path in [&self.qemu, &self.firmware] {
            add_file(&mut hash, path)?;
        }
        Ok(hex::encode(hash.finalize()))
    }
}

fn failed(doing: &'static str, why: Option<&str>) -> SnapshotError {
    SnapshotError::Migration { doing, why: why.unwrap_or("it gives no reason").to_owned() }
}

fn uri(path: &Path) -> Result<String, SnapshotError> {
    let text = path.to_str().ok_or_else(|| SnapshotError::Path(path.to_owned()))?;
    Ok(format!("file:{text}"))
}

async fn set_mapped_ram(machine: &Monitors) -> Result<(), SnapshotError> {
    let capabilities = json!({ "capabilities": [{ "capability": "mapped-ram", "state": true }] });
    machine.raw.execute("migrate-set-capabilities", capabilities).await?;
    Ok(())
}

fn add_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hash.update(length.to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while let Some((start, end)) = next_data(&file, at, length)? {
        hash.update(start.to_le_bytes());
        file.seek(SeekFrom::Start(start))?;
        let mut left = end - start;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..wanted])?;
            hash.update(&buffer[..wanted]);
            left -= wanted as u64;
        }
        at = end;
    }
    Ok(())
}

/// The next stretch of a file that is no hole: `[start, end)`.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= length {
        return Ok(None);
    }
    match lseek(file, from.cast_signed(), Whence::SeekData) {
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(start) => {
            let end = lseek(file, start, Whence::SeekHole)?;
            Ok(Some((start.cast_unsigned(), end.cast_unsigned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> (tempfile::TempDir, SavedMachine) {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedMachine::within(dir.path());
        let file = File::create(&saved.qemu).unwrap();
        file.set_len(64 << 20).unwrap();
        std::fs::write(&saved.firmware, "state").unwrap();
        (dir, saved)
    }

    #[test]
    fn one_changed_byte_changes_the_digest() {
        use std::os::unix::fs::FileExt;
        let (_dir, saved) = saved();
        let file = File::options().write(true).open(&saved.qemu).unwrap();
        file.write_all_at(&[1; 5000], 40 << 20).unwrap();
        let before = saved.digest().unwrap();
        assert_eq!(before, saved.digest().unwrap());
        file.write_all_at(&[2], (40 << 20) + 77).unwrap();
        let changed = saved.digest().unwrap();
        assert_ne!(before, changed);
        std::fs::write(&saved.firmware, "other").unwrap();
        assert_ne!(changed, saved.digest().unwrap());
    }

    #[test]
    fn a_shorter_file_has_another_digest() {
        let (_dir, saved) = saved();
        let before = saved.digest().unwrap();
        File::options().write(true).open(&saved.qemu).unwrap().set_len(63 << 20).unwrap();
        assert_ne!(before, saved.digest().unwrap());
    }
}
