//! What can go wrong with a TD.

use std::fmt::Display;
use thiserror::Error;

/// Why a TD could not be made or run.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// The kernel refused a call.
    #[error("{doing}: {}{}", std::io::Error::from_raw_os_error(*errno), seamcall_status(*status))]
    Refused {
        /// The call that failed.
        doing: &'static str,
        /// Why.
        errno: i32,
        /// Status of the SEAMCALL behind it; 0: none.
        status: u64,
    },
    /// The plan describes no possible TD.
    #[error("the plan of a TD is wrong: {0}")]
    Plan(String),
    /// It was given up on purpose.
    #[error("given up as asked")]
    GivenUp,
}

fn seamcall_status(status: u64) -> String {
    if status == 0 { String::new() } else { format!(" (SEAMCALL status {status:#x})") }
}

impl MonitorError {
    /// A refusal without a SEAMCALL's status.
    pub(crate) fn refused(doing: &'static str) -> impl FnOnce(vmm_sys_util::errno::Error) -> Self {
        move |error| Self::Refused { doing, errno: error.errno(), status: 0 }
    }

    /// A refusal by way of the standard library.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Refused { doing, errno: error.raw_os_error().unwrap_or(0), status: 0 }
    }

    /// A mistake of the plan.
    pub(crate) fn plan(what: impl Display) -> Self {
        Self::Plan(what.to_string())
    }
}
