//! From a run that is prepared to what is known when its machine is gone.

mod at_breach;
mod autopsy;
mod boot_once;
pub(super) mod choose_start;
pub(super) mod end;
mod exit_cause;
pub(super) mod interrupt;
pub(super) mod launch;
pub(super) mod observer;
pub(super) mod running_machine;
pub(super) mod runtime;
pub(super) mod snapshot;
pub(super) mod start;
pub(super) mod steps;
pub(super) mod stop;
mod watch;
pub(super) mod whole_run;
