//! The judge as its users call it, in one program: it is linked once, also for each of cargo-mutants' changes.
//!
//! The HTML page in a real browser is a program of its own (`tests/page.rs`).

mod edit;
mod form;
mod hangs;
mod hostile;
mod imitation;
mod load;
mod messages;
mod outsiders;
mod participants;
mod picture;
mod preserved;
mod progress;
mod real;
mod recording;
mod reports;
mod retries;
mod section;
mod states;
mod terminal;
mod twins;
mod updates;
mod whole;
mod words;
