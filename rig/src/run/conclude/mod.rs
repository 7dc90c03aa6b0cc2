//! From what is known of a run to its verdict. Nothing here needs a machine, or what it was started from.

mod attempts;
mod check;
mod checks;
mod client_checks;
mod evidence;
mod expected;
mod facts;
mod holds;
mod hw_checks;
mod load_checks;
mod program_checks;
mod program_files;
mod recorded;
mod remedy;
mod reports;
mod td_checks;
mod update_checks;
pub(super) mod verdict;
