//! The recording of an imitated run, and how events get into it.

use super::Twist;
use crate::Setup;
use crate::run_end::RunEnd;
use crate::timeline::Leaf;
use rig_wire::event::{Kind, Mark, NO_LP, Record, flags};

/// A run that never was.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// What a judge of it is told.
    pub setup: Setup,
    /// Its events in their order.
    pub records: Vec<Record>,
    /// The guest's console; [`Kind::Console`] records refer to its lines.
    pub console: Vec<String>,
    /// How it ended.
    pub end: RunEnd,
    pub(super) twist: Option<Twist>,
    pub(super) fault: Option<Fault>,
    pub(super) tds: u64,
    pub(super) now_ns: u64,
    pub(super) uploads: u32,
    pub(super) random: u64,
}

/// A SEAMCALL that fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) leaf: Leaf,
    pub(super) lp: u16,
    pub(super) status: u64,
}

impl Synthetic {
    pub(super) fn line(&mut self, text: &str) {
        let index = self.console.len() as u64;
        let (s, us) = (self.now_ns / 1_000_000_000, self.now_ns / 1000 % 1_000_000);
        self.console.push(format!("[{s:5}.{us:06}] {text}"));
        self.push(Record { lp: NO_LP, kind: Kind::Console as u16, a: index, ..Record::default() });
    }

    pub(super) fn mark(&mut self, mark: Mark, argument: u64) {
        self.push(Record { lp: NO_LP, kind: Kind::Mark as u16, a: mark as u64, b: argument, ..Record::default() });
    }

    pub(super) fn call(&mut self, lp: u16, leaf: Leaf, field: u64, took_ns: u64) {
        self.enter(lp, leaf, field, flags::IF);
        self.now_ns += took_ns;
        self.exit(lp, leaf, field, 0);
    }

    pub(super) fn enter(&mut self, lp: u16, leaf: Leaf, field: u64, flags: u32) {
        self.now_ns += 700;
        self.push(Record { lp, kind: Kind::SeamcallEnter as u16, flags, a: leaf.0, c: field, ..Record::default() });
    }

    pub(super) fn exit(&mut self, lp: u16, leaf: Leaf, _field: u64, status: u64) {
        self.now_ns += 700;
        self.push(Record { lp, kind: Kind::SeamcallExit as u16, a: leaf.0, b: status, ..Record::default() });
    }

    pub(super) fn push(&mut self, record: Record) {
        let seq = self.records.len() as u64;
        // A host that is a little faster than the guest's clock says.
        self.records.push(Record { seq, guest_ns: self.now_ns, host_ns: self.now_ns / 10 * 9, ..record });
    }

    /// A number below `bound`, by xorshift64*.
    pub(super) fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }
}

/// Address of the imitated TD's TDR page.
pub(super) fn tdr(td: u64) -> u64 {
    0x1_0000_0000 + td * 0x10_0000
}
