//! The first difference of two timelines.

use super::digest::{is_guests, normal};
use super::event::Decoder;
use crate::finding::Cited;
use rig_wire::event::Record;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Everything but the host's clock.
    Exact,
    /// What happened in which order; guest time may differ.
    Order,
}

/// Where two timelines part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Events of the guest that they have in common before it.
    pub common: u64,
    /// The last of them.
    pub last_common: Option<Cited>,
    /// The first event of the left timeline after that, if it goes on.
    pub left: Option<Cited>,
    /// The first event of the right one.
    pub right: Option<Cited>,
}

/// The first difference; none when there is none. Console lines and marks of the rig are passed over.
pub fn first_difference(
    left: (&Decoder, impl IntoIterator<Item = Record>),
    right: (&Decoder, impl IntoIterator<Item = Record>),
    strictness: Strictness,
) -> Option<Difference> {
    let key = |r: &Record| match strictness {
        Strictness::Exact => normal(r),
        Strictness::Order => Record { guest_ns: 0, ..normal(r) },
    };
    let mut lefts = left.1.into_iter().filter(is_guests);
    let mut rights = right.1.into_iter().filter(is_guests);
    let (mut common, mut last) = (0, None);
    loop {
        let pair = (lefts.next(), rights.next());
        match pair {
            (None, None) => return None,
            (Some(l), Some(r)) if key(&l) == key(&r) => (common, last) = (common + 1, Some(l)),
            (l, r) => {
                let cite = |decoder: &Decoder, record: Option<Record>| record.map(|r| decoder.cite(&r));
                let last_common = cite(left.0, last);
                return Some(Difference { common, last_common, left: cite(left.0, l), right: cite(right.0, r) });
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the timelines have {} events in common", self.common)?;
        let show = |cited: &Option<Cited>| cited.as_ref().map_or_else(|| "it ends".to_string(), ToString::to_string);
        if self.last_common.is_some() {
            writeln!(f, "  both   {}", show(&self.last_common))?;
        }
        writeln!(f, "  left   {}", show(&self.left))?;
        write!(f, "  right  {}", show(&self.right))
    }
}
