//! Why a scenario could not go on in its guest.

use crate::guest::GuestError;
use crate::machine::control::ControlError;
use crate::run::record::guest_report::GuestReport;
use crate::trouble::Trouble;

/// Why a step of the scenario could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The guest did not do what it was asked.
    #[error("{doing}: {error}")]
    Guest {
        /// What was under way.
        doing: String,
        /// What came of it.
        error: GuestError,
    },
    /// The kernel runs, but offers no update.
    #[error(
        "the kernel offers no TDX module update: {0} (with CONFIG_TDX_HOST_SERVICES=m, tdx-host.ko must lie in the build tree or \
         beside the bzImage)"
    )]
    NoSubject(String),
    /// What is to be watched in the subject's module was not found.
    #[error("the guest does not say where module {0} lies")]
    NotLocated(String),
    /// The kernel's log does not reach the rig.
    #[error("the mark of the end of update {0} did not come back in the kernel's log, so its words are not known")]
    NoLog(u64),
    /// The emulator met a defect of its own.
    #[error("the emulated firmware failed; its last words are on standard error")]
    Emulator,
    /// The emulator's control socket failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The image to upload cannot be read.
    #[error(transparent)]
    Image(#[from] Trouble),
}

impl StepError {
    /// Whether the guest is gone; then the exit of its process says more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Guest { error: GuestError::Gone, .. } | Self::Control(ControlError::Io(_)))
    }
}

/// The guest failed in what is under way.
pub(super) fn failed(report: &GuestReport, error: GuestError) -> StepError {
    StepError::Guest { doing: report.doing.clone(), error }
}
