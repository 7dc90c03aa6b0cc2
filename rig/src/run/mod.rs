//! One run: from a scenario to its verdict, in three steps. Each takes what the one before it made.
//!
//! | step | from | to |
//! | --- | --- | --- |
//! | `prepare` | a scenario | [`Prepared`]: everything that a run needs |
//! | `conduct` | [`Prepared`] | a `RunRecord`: what is known when the machine is gone |
//! | `conclude` | a `RunRecord` | the verdict, and its files |
//!
//! `conduct` knows `prepare` and `record`; `conclude` knows `record` and nothing of a machine.

mod capture;
mod conclude;
mod conduct;
mod folder;
mod guests;
mod nested;
mod prepare;
mod record;
mod scripted;
mod session;
mod single;

pub(crate) use capture::{CapturedMachine, capture};
pub(crate) use conduct::interrupt::Interrupts;
pub use guests::{Counts, EndCause, Guests, Judged, UpdatableGuest, UpdateAttempt};
pub use nested::run_nested;
pub use prepare::assemble::prepare;
pub(crate) use prepare::load_modules::needs_own_modules;
pub use prepare::options::{AtBreach, LoggedFunctions, Options};
pub use prepare::prepared::Prepared;
pub use session::{Session, Sessions};
pub use single::{run, run_anew, run_program};
