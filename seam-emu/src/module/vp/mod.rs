//! Leaves about a TD's vCPUs.

pub(super) mod addcx;
mod code;
pub(super) mod create;
pub(super) mod enter;
pub(super) mod flush;
pub(super) mod init;
mod posted;
pub(in crate::module) mod private;
pub(super) mod rd_wr;
mod shared_ept;
mod vmcs;

pub(crate) use code::translate;
pub(crate) use posted::{is_notification, take as take_posted};
