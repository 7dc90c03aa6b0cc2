//! What a person can do about a run that was not judged.

use rig_judge::{Outcome, Verdict};

/// What a person can do about a run that was not judged.
pub(super) fn remedy(verdict: &Verdict, interrupted: bool) -> Option<&'static str> {
    let reason = verdict.reason.as_deref().unwrap_or_default();
    match (verdict.verdict, interrupted) {
        (Outcome::Hung, _) => Some("the diagnosis says where each CPU stood; a longer budget is `budget.stall_cpu_s`"),
        (Outcome::GuestCrashed, _) => Some("read console.log in the run folder"),
        (Outcome::RigError, true) => Some("run it again"),
        (Outcome::RigError, _) if reason.contains(" host ") => Some(
            "run it again when the host has cores to spare; `docs/explanation/hangs.md` says how this is distinguished from a \
             hang of the guest",
        ),
        (Outcome::RigError, _) => Some("read qemu.log and console.log in the run folder"),
        _ => None,
    }
}
