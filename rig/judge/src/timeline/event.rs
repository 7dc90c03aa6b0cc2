//! A record with its meaning: which word, which function, which leaf.

use crate::timeline::leaf::{Leaf, Status};
use crate::{Setup, SubjectNames};
use rig_wire::event::{Kind, Mark, NO_LP, Record, flags};

/// A word of the subject's state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The current step.
    State,
    /// How many CPUs acknowledged it.
    NumAck,
    /// How many CPUs failed.
    NumFailed,
    /// How many CPUs are online.
    NumOnline,
    /// Some other word, which the oracle does not judge.
    Other,
}

/// A function of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What every CPU runs inside `stop_machine`.
    Install,
    /// The `stop_machine` thread function.
    Stop,
    /// Where a CPU becomes online or offline.
    SetOnline,
    /// Some other function, which the oracle does not judge.
    Other,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A SEAMCALL began.
    CallEnter(Leaf),
    /// A SEAMCALL ended.
    CallExit(Leaf, Status),
    /// A word was read.
    Load(Word, u64),
    /// A word was written.
    Store(Word, u64),
    /// A function was entered.
    Enter(Place),
    /// A function returned this value.
    Exit(Place, i32),
    /// The agent or the rig marked this point; the number and, for an update's end, how it came out.
    Mark(u64),
    /// Anything else.
    Other,
}

/// A record and its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// As recorded.
    pub record: &'a Record,
    /// What it says.
    pub what: What,
}

impl Event<'_> {
    /// The LP on which it happened.
    pub fn lp(&self) -> Option<u16> {
        (self.record.lp != NO_LP).then_some(self.record.lp)
    }
}

/// Finds the meaning of records, by the setup's watches and functions.
#[derive(Clone, Debug)]
pub struct Decoder {
    words: Vec<(Word, String)>,
    places: Vec<(Place, String)>,
    /// Code ranges `[start, end)` of the watched functions, in the order of `places`.
    ranges: Vec<(u64, u64)>,
}

impl Decoder {
    /// A decoder for the records of a run with this setup.
    pub fn new(setup: &Setup) -> Self {
        let names = &setup.subject;
        let words = setup.watches.iter().map(|w| (word(names, &w.name), w.name.clone())).collect();
        let places = setup.functions.iter().map(|f| (place(names, &f.name), f.name.clone())).collect();
        let ranges = setup.functions.iter().map(|f| f.range).collect();
        Self { words, places, ranges }
    }

    /// Whether this word is watched at all.
    pub fn watches(&self, word: Word) -> bool {
        self.words.iter().any(|(w, _)| *w == word)
    }

    /// Whether this function is watched at all.
    pub fn follows(&self, place: Place) -> bool {
        self.places.iter().any(|(p, _)| *p == place)
    }

    /// The name of a watch, by its place in the plan.
    pub fn word_name(&self, index: u64) -> &str {
        name_at(&self.words, index)
    }

    /// The name of a watched function, by its place in the plan.
    pub fn place_name(&self, index: u64) -> &str {
        name_at(&self.places, index)
    }

    /// An address of code for people: `name+0x12` in a watched function, else the number; none: no address was recorded.
    pub fn code_name(&self, pc: u64) -> Option<String> {
        let own = self.ranges.iter().zip(&self.places).find(|((start, end), _)| (*start..*end).contains(&pc));
        let named = own.map(|((start, _), (_, name))| format!("{name}+{:#x}", pc - start));
        (pc != 0).then(|| named.unwrap_or_else(|| format!("{pc:#x}")))
    }

    /// The record's meaning.
    pub fn decode<'a>(&self, record: &'a Record) -> Event<'a> {
        Event { record, what: self.meaning(record) }
    }

    fn meaning(&self, r: &Record) -> What {
        match Kind::from_u16(r.kind) {
            Some(Kind::SeamcallEnter) => What::CallEnter(Leaf::of(r)),
            Some(Kind::SeamcallExit) => What::CallExit(Leaf::of(r), Status::of(r)),
            Some(Kind::Watch) => {
                let word = self.words.get(r.a as usize).map_or(Word::Other, |(w, _)| *w);
                if r.flags & flags::STORE == 0 { What::Load(word, r.b) } else { What::Store(word, r.b) }
            }
            Some(Kind::FunctionEnter) => What::Enter(self.place(r)),
            // The functions that matter return an int, in the low half of RAX.
            Some(Kind::FunctionExit) => What::Exit(self.place(r), (r.b as u32).cast_signed()),
            Some(Kind::Mark) => What::Mark(r.a),
            _ => What::Other,
        }
    }

    fn place(&self, r: &Record) -> Place {
        self.places.get(r.a as usize).map_or(Place::Other, |(p, _)| *p)
    }
}

fn name_at<T>(names: &[(T, String)], index: u64) -> &str {
    names.get(index as usize).map_or("?", |(_, name)| name)
}

fn word(names: &SubjectNames, name: &str) -> Word {
    match name {
        n if n == names.state => Word::State,
        n if n == names.num_ack => Word::NumAck,
        n if n == names.num_failed => Word::NumFailed,
        n if n == names.num_online => Word::NumOnline,
        _ => Word::Other,
    }
}

fn place(names: &SubjectNames, name: &str) -> Place {
    match name {
        n if n == names.install_function => Place::Install,
        n if n == names.stop_function => Place::Stop,
        n if n == names.set_online_function => Place::SetOnline,
        _ => Place::Other,
    }
}

/// Whether a mark is this one.
pub fn is_mark(number: u64, mark: Mark) -> bool {
    number == mark as u64
}
