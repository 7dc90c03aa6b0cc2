//! The ordered events of one run: what each says, and how they are kept.

mod describe;
mod diff;
mod digest;
mod event;
mod file;
mod leaf;

pub use diff::{Difference, Strictness, first_difference};
pub use digest::{TimelineDigest, is_guests};
pub use event::{Decoder, Event, Place, What, Word, is_mark};
pub use file::{EventsError, EventsReader, EventsWriter};
pub use leaf::{Leaf, Status};
