//! Leaves that manage a whole TD, and its measurement.

pub(super) mod addcx;
pub(super) mod create;
pub(super) mod init;
pub(super) mod key_config;
pub(super) mod key_freeid;
pub(super) mod mr_extend;
pub(super) mod mr_finalize;
pub(super) mod rd;
pub(super) mod vpflushdone;
