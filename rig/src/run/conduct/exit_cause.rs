//! The end of a run whose QEMU ended without an order to do so.

use super::stop::Stop;
use crate::guest::panic_line;
use crate::machine::{Machine, QemuExit, ShutdownReason, logs};
use rig_judge::RunEnd;
use rig_wire::plan::STALLED_EXIT_CODE;
use std::path::Path;

/// A deterministic machine ends itself when it makes no progress.
pub(super) fn stop_of_exit(status: QemuExit) -> Stop {
    match status.code() {
        Some(STALLED_EXIT_CODE) => Stop::Stalled("CPUs spin in the update, and none makes progress".into()),
        _ => Stop::Exited(status),
    }
}

/// How a run ended whose QEMU ended so, by what the console and QEMU itself said, while `doing` was under way.
pub(super) async fn end_of_exit(machine: &Machine, console: &Path, status: QemuExit, doing: &str) -> RunEnd {
    let panic = panic_line(&logs::read(console));
    match (machine.shutdown_reason().await, panic) {
        (Some(ShutdownReason::Reset), Some(line)) => RunEnd::Crashed { what: format!("{line}, while {doing}") },
        (Some(ShutdownReason::Reset), None) => {
            RunEnd::Crashed { what: format!("the guest reset itself without a word, while {doing}") }
        }
        (Some(ShutdownReason::PowerOff), _) => {
            RunEnd::Lost { cause: format!("the guest powered itself off, while {doing}") }
        }
        (None, Some(line)) if status.success() => RunEnd::Crashed { what: format!("{line}, while {doing}") },
        (_, _) => {
            let words = machine.last_words().map(|w| format!(": {w}")).unwrap_or_default();
            RunEnd::Lost { cause: format!("QEMU died ({status}), while {doing}{words}") }
        }
    }
}
