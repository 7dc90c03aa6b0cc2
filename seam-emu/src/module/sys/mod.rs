//! The module's global leaves, one file each.

pub(super) mod config;
pub(super) mod disable;
pub(super) mod info;
pub(super) mod init;
pub(super) mod key_config;
pub(super) mod lp_init;
pub(super) mod rd;
pub(super) mod rdall;
pub(crate) mod shutdown;
pub(super) mod tdmr_init;
pub(super) mod update;

mod tdmr_checks;
