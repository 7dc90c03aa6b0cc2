//! What comes of carrying out the instruction at a site.

use crate::Exception;

/// What comes of carrying out the instruction at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The vCPU goes on behind it, with the registers as they are now.
    Go,
    /// Nothing was done yet, or not all. To be asked again at this time of the events' clock, nanoseconds, or soon when
    /// it is past.
    Wait(u64),
    /// It raises this exception.
    Raise(Exception),
}
