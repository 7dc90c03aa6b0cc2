//! What is known of a run once its machine is gone. A verdict is made from nothing else.

pub(super) mod description;
pub(super) mod guest_report;
pub(super) mod hw;
pub(super) mod program;
pub(super) mod run_record;
pub(super) mod tds;
pub(super) mod upload;
