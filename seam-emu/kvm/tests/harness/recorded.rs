//! What is recorded of a case, judged while it is made.

use rig_judge::{Examination, Examined, RunEnd, Setup};
use rig_wire::event::Record;
use rig_wire::ring::Ring;

/// The reader of the ring, and the judge.
pub(crate) struct Recorded {
    ring: Ring,
    records: Vec<Record>,
    examination: Examination,
    is_broken: bool,
}

impl Recorded {
    pub(crate) fn new(ring: Ring, setup: Setup) -> Self {
        Self { ring, records: Vec::new(), examination: Examination::new(setup), is_broken: false }
    }

    /// Takes and judges what came since. True once an invariant is broken or a record cannot be.
    pub(crate) fn look(&mut self) -> bool {
        while let Some(record) = self.ring.pop() {
            self.is_broken |= self.examination.record(&record, None).is_some();
            self.records.push(record);
        }
        assert_eq!(self.ring.lost(), 0, "the ring has room for a case");
        self.is_broken || self.examination.fault().is_some()
    }

    /// All records, and what the judge found.
    pub(crate) fn finish(mut self, end: RunEnd) -> (Vec<Record>, Examined) {
        let end = if self.look() { RunEnd::Stopped } else { end };
        (self.records, self.examination.finish(&end))
    }
}
