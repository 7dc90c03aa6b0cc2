//! The ordered events of one run: what each says, and how they are kept.

mod describe;
mod event;
mod leaf;

pub use event::{Decoder, Event, Place, What, Word, is_mark};
pub use leaf::{Leaf, Status};
