//! A machine that is stopped where its vCPUs are held, and its memory and registers as a file.

use super::Monitors;
use super::qmp::QmpError;
use super::registers::parse_registers;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Host time in which all vCPUs must come to their place: an upload takes seconds on a busy host.
const WITHIN: Duration = Duration::from_secs(120);
/// How long the machine goes on when it was stopped too early, or while a vCPU was in an interrupt.
const BETWEEN: Duration = Duration::from_millis(20);

/// Why a machine does not stand where it should.
#[derive(Debug, thiserror::Error)]
pub enum StandstillError {
    /// The monitor failed, or QEMU refused.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// Some vCPU was elsewhere each time.
    #[error("vCPU {cpu} does not come to {address:#x}; it is at {rip:#x}")]
    Elsewhere {
        /// Its number.
        cpu: u32,
        /// Where it is.
        rip: u64,
        /// Where it should be.
        address: u64,
    },
    /// The path cannot be passed to QEMU, which takes text.
    #[error("the path {0:?} is no UTF-8")]
    Path(PathBuf),
}

/// Stops the machine at a moment at which every vCPU is at this address, where all are held.
pub async fn stop_at(machine: &Monitors, address: u64) -> Result<(), StandstillError> {
    let deadline = Instant::now() + WITHIN;
    loop {
        machine.qmp.execute(qapi::qmp::stop {}).await?;
        let all = parse_registers(&machine.qmp.human("info registers -a").await?);
        let Some(other) = all.iter().find(|registers| registers.rip != address) else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(StandstillError::Elsewhere { cpu: other.cpu, rip: other.rip, address });
        }
        machine.qmp.execute(qapi::qmp::cont {}).await?;
        sleep(BETWEEN).await;
    }
}

/// Writes memory and registers of a machine that stands to an ELF file.
pub async fn write_core(machine: &Monitors, path: &Path) -> Result<(), StandstillError> {
    let text = path.to_str().ok_or_else(|| StandstillError::Path(path.to_owned()))?;
    let arguments = json!({ "paging": false, "protocol": format!("file:{text}") });
    machine.raw.execute("dump-guest-memory", arguments).await?;
    Ok(())
}
