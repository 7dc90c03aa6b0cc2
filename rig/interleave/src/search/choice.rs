//! How a CPU's next operation can go.

use crate::firmware::Failure;

/// One of the ways in which a CPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Its next operation is done, as the state says.
    Plain,
    /// Its next operation, which is a SEAMCALL's return, is done with this failure.
    Fails(Failure),
    /// The oldest store in its buffer becomes visible.
    Flush,
}

const ALL: [Choice; 5] = [
    Choice::Flush,
    Choice::Plain,
    Choice::Fails(Failure::ALL[0]),
    Choice::Fails(Failure::ALL[1]),
    Choice::Fails(Failure::ALL[2]),
];

impl Choice {
    /// Those that there are at all.
    pub(super) fn list(store_buffers: bool, failures: bool) -> &'static [Self] {
        &ALL[usize::from(!store_buffers)..if failures { ALL.len() } else { 2 }]
    }

    /// The failure with which the operation is done.
    pub(super) const fn failure(self) -> Option<Failure> {
        match self {
            Self::Fails(failure) => Some(failure),
            Self::Plain | Self::Flush => None,
        }
    }
}
