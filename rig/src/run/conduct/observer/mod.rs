//! The reader of the event ring: it writes every record to the events file and shows it to the judge, while the machine
//! runs. It has a thread of its own, so that a slow disk or a busy rig cannot make the ring overflow unnoticed.

mod alarm;
mod handle;
mod host;
mod input;
pub(crate) mod log_marks;
pub(crate) mod orders;
mod progress;
mod reader;
mod tally;

pub(crate) use alarm::Alarm;
pub(crate) use handle::{Observer, RING_CAPACITY};
pub(crate) use input::{Lines, Past};
pub(crate) use reader::Observed;
pub(crate) use tally::HoldTally;
