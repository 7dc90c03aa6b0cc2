//! The checks. Each is a pure function of the workspace and of what is promised or allowed.

mod arrows;
mod cycles;
mod homonyms;
mod links;
mod qemu;
mod reasons;
mod sizes;
mod unsafe_files;

pub use arrows::arrows;
pub use cycles::{Cycle, cycles, known_cycles};
pub use homonyms::{Homonym, homonyms, known_homonyms};
pub use links::links;
pub use qemu::qemu_arguments;
pub use reasons::reasons;
pub use sizes::{FILE_LINES, FUNCTION_LINES, lines, sizes};
pub use unsafe_files::unsafe_files;
