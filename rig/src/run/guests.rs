//! What an exploration, a replay and a shrink need of machines, so that all three can be tested without one.

use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_judge::Verdict;
use std::path::Path;

/// Where guests come from.
pub trait Guests: Sync {
    /// A guest.
    type Guest: UpdatableGuest;

    /// Starts a guest with its evidence in `folder`, which is empty.
    fn start(&self, folder: &Path) -> Result<Self::Guest, Trouble>;
    /// Whether a schedule gives the same run each time.
    fn repeats(&self) -> bool;
    /// Whether there are loads, whose work only the end of a guest shows.
    fn has_loads(&self) -> bool;
    /// Name of the word in which acknowledgements are counted.
    fn ack_word(&self) -> &str;
    /// Pairs of accesses by different LPs that came one after the other.
    fn orders(&self) -> usize;
    /// Hashes of all that decides a run, by name.
    fn made_of(&self) -> &serde_json::Value;
}

/// A machine in which update after update is made, each under its own holds.
pub trait UpdatableGuest {
    /// Brings it to where it can be updated, beneath the scenario's loads. False: it ended before, and only
    /// [`UpdatableGuest::end`] is left.
    fn ready(&mut self) -> bool;
    /// One update under these holds.
    fn update(&mut self, holds: &[HoldSpec]) -> Result<UpdateAttempt, Trouble>;
    /// Ends it, wherever it stands, and judges all that was recorded.
    fn end(self) -> Result<Judged, Trouble>;
}

/// How an update under a schedule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAttempt {
    /// All went well, the kernel's log up to the update's end was judged, too, and the guest can go on.
    Passed(Counts),
    /// It was the guest's last: only [`UpdatableGuest::end`] is left.
    Last(Counts),
}

/// What became of the holds of one update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Holds that began.
    pub begun: u64,
    /// Holds that ended because their condition came true.
    pub satisfied: u64,
    /// Host time of the update, milliseconds.
    pub update_ms: u64,
}

/// A guest that has ended.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict on all of its updates.
    pub verdict: Verdict,
    /// What it was that ended it.
    pub cause: EndCause,
}

/// What ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// All was done that was asked for.
    AllDone,
    /// The last update.
    LastUpdate,
    /// Something before the first update, between two, or behind the last one: it belongs to none of them.
    NoUpdate,
    /// A person, by Ctrl-C or a signal: the guest was not judged.
    Person,
}
