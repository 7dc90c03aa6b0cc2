//! A timeline in one number: equal digests mean that two runs did the same at the same guest time.

use rig_wire::event::{Kind, Record};
use sha2::{Digest as _, Sha256};

/// Digests a timeline, record by record.
///
/// Left out is what the host's clock decides: `host_ns`, and the records that the rig itself adds (console lines and marks),
/// with the places (`seq`) that they take.
#[derive(Clone, Debug, Default)]
pub struct TimelineDigest {
    hash: Sha256,
}

impl TimelineDigest {
    /// Takes the next record in.
    pub fn add(&mut self, record: &Record) {
        if is_guests(record) {
            self.hash.update(normal(record).to_bytes());
        }
    }

    /// The digest in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

/// Whether the guest alone decides on this record: not on console lines and marks, which the rig adds.
pub fn is_guests(record: &Record) -> bool {
    ![Kind::Console as u16, Kind::Mark as u16].contains(&record.kind)
}

/// The record without what the host decides.
pub(super) fn normal(record: &Record) -> Record {
    Record { seq: 0, host_ns: 0, ..*record }
}
