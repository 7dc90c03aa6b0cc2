//! From a run that is prepared to what is known when its machine is gone.

mod boot_once;
mod bound;
pub(super) mod choose_start;
mod diagnose;
pub(super) mod drive;
pub(super) mod end;
mod exit_cause;
mod host;
pub(super) mod interrupt;
pub(super) mod launch;
pub(super) mod live;
pub(super) mod log_marks;
mod observer;
pub(super) mod orders;
pub(super) mod runtime;
pub(super) mod snapshot;
mod stack;
mod stall;
pub(super) mod start;
pub(super) mod stop;
mod watched;
pub(super) mod whole_run;
