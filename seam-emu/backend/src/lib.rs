//! What every way of bringing SEAMCALLs to the firmware model has in common: the QEMU plugin and the mailbox.
//!
//! Pure: no IO, no clock. The backends hand in time and places, and put what comes out into their ring.

pub mod events;
pub mod holds;
