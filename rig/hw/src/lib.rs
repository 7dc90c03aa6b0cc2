//! The rig on a real TDX host.
//!
//! It checks the host, chooses an image, updates the TDX module under observation by kprobes, and has the same oracle judge
//! what was seen. The library works on a [`Host`], which is this machine or a picture of one; `cargo rig hw` and the static
//! program `rig-hw` are the same commands.
//!
//! It never changes the machine without two orders to do so, by the command and by `--yes`, and never calls an invariant held
//! that cannot be observed here.

mod account;
mod arguments;
pub mod blob;
pub mod change;
pub mod check;
pub mod choose;
mod cli;
pub mod cpus;
pub mod facts;
mod failure;
#[cfg(test)]
mod fake;
mod host;
pub mod journal;
pub mod load;
pub mod lock;
pub mod mapping;
pub mod observe;
mod repair;
mod restore;
mod say;
mod signals;
mod tracefs;
mod trouble;
mod version;

pub use account::{Account, Step, account};
pub use arguments::{EXAMPLES, HwCommand};
pub use cli::run;
pub use host::Host;
pub use trouble::{Exit, Trouble};
pub use version::{NoVersion, Version};
