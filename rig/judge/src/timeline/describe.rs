//! Records in words.

use crate::Step;
use crate::finding::Cited;
use crate::timeline::event::{Decoder, What, Word, is_mark};
use crate::timeline::leaf::{Leaf, Status};
use rig_wire::event::{HostCause, Kind, Mark, NO_LP, Record, flags};

impl Decoder {
    /// The record as a piece of evidence.
    pub fn cite(&self, record: &Record) -> Cited {
        let lp = (record.lp != NO_LP).then_some(record.lp);
        Cited { seq: record.seq, guest_ns: record.guest_ns, lp, what: self.describe(record), record: *record }
    }

    /// What happened, for people.
    pub fn describe(&self, r: &Record) -> String {
        match self.decode(r).what {
            What::CallEnter(leaf) => format!("{} entered{}", call(leaf, r), interrupts(r)),
            What::CallExit(leaf, status) => format!("{} ended: {}{}", leaf.name(), status.name(), reasons(r)),
            What::Load(word, value) => format!("loads {}{}", self.access(r, word, value), interrupts(r)),
            What::Store(word, value) => format!("stores {}{}", self.access(r, word, value), interrupts(r)),
            What::Enter(_) => format!("enters {}{}", self.place_name(r.a), interrupts(r)),
            What::Exit(_, result) => format!("leaves {}, returning {result}{}", self.place_name(r.a), interrupts(r)),
            What::Mark(mark) if is_mark(mark, Mark::Repeated) => {
                format!(
                    "{} more calls of {}, which ended: {}",
                    r.b,
                    leaf_of(r.c).name(),
                    Status::of(&Record { b: r.d, ..*r }).name()
                )
            }
            What::Mark(mark) if is_mark(mark, Mark::HostTook) => host_took(r),
            What::Mark(mark) => describe_mark(mark, r.b),
            What::Other if r.kind == Kind::Interrupt as u16 => {
                let [at, handler] = [r.a, r.b].map(|pc| self.code_name(pc).unwrap_or_default());
                format!("is interrupted at {at}, handled at {handler}{}", interrupts(r))
            }
            What::Other => describe_other(r),
        }
    }

    /// A word, its value, and the code that touched it.
    fn access(&self, r: &Record, word: Word, value: u64) -> String {
        let place = self.code_name(r.d).map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{} = {}{place}", self.word_name(r.a), number(word, value))
    }
}

fn call(leaf: Leaf, r: &Record) -> String {
    match leaf {
        Leaf::SYS_RD => format!("{} of field {:#018x}", leaf.name(), r.c),
        _ => leaf.name(),
    }
}

fn interrupts(r: &Record) -> &'static str {
    match (r.flags & flags::IF != 0, r.flags & flags::HARDIRQ != 0) {
        (true, false) => ", interrupts enabled",
        (false, true) => ", in an interrupt",
        (true, true) => ", in an interrupt with interrupts enabled",
        (false, false) => "",
    }
}

fn reasons(r: &Record) -> String {
    let bits = [
        (flags::FAULT, "injected fault"),
        (flags::CONTENDED, "another LP was inside"),
        (flags::UNMODELLED, "leaf not modelled"),
    ];
    bits.iter().filter(|(bit, _)| r.flags & bit != 0).flat_map(|(_, name)| [", ", name]).collect()
}

fn number(word: Word, value: u64) -> String {
    match (word, Step::from_number(value)) {
        (Word::State, Some(step)) => format!("{value} ({step})"),
        _ => value.to_string(),
    }
}

fn describe_mark(mark: u64, argument: u64) -> String {
    let update = argument & 0xffff_ffff;
    match mark {
        m if m == Mark::Ready as u64 => "the agent is ready".into(),
        m if m == Mark::UpdateBegin as u64 => format!("upload {update} begins"),
        m if m == Mark::UpdateEnd as u64 => format!("upload {update} ended"),
        m if m == Mark::Stalled as u64 => format!("no progress for {} us: the machine ends", argument / 1000),
        m => format!("mark {m}, argument {argument}"),
    }
}

/// The leaf with this RAX.
fn leaf_of(rax: u64) -> Leaf {
    Leaf::of(&Record { a: rax, ..Record::default() })
}

fn host_took(r: &Record) -> String {
    let how = match HostCause::from_number(r.d) {
        Some(HostCause::RigPaused) => "the rig did not run",
        Some(HostCause::QemuStopped) => "QEMU was stopped",
        Some(HostCause::Starved) => "QEMU's threads waited for a core",
        None => "it is not known how",
    };
    format!("the host took {} of the last {} ms: {how}", r.b, r.c)
}

fn describe_other(r: &Record) -> String {
    match Kind::from_u16(r.kind) {
        Some(Kind::Exception) => format!("exception at {:#x}, handled at {:#x}", r.a, r.b),
        Some(Kind::HoldBegin) => format!("hold {} begins", r.a),
        Some(Kind::HoldEnd) => format!("hold {} ends", r.a),
        Some(Kind::ModuleState) => format!("module state {} -> {}", module_state(r.a), module_state(r.b)),
        Some(Kind::TdDigest) => format!("TD {:#x} has digest {:016x}", r.a, r.b),
        Some(Kind::Unknown) => format!("unknown instruction {:016x} at {:#x}", r.b, r.a),
        Some(Kind::Console) => format!("console line {}", r.a),
        Some(Kind::Idle) => if r.a == 1 { "goes idle" } else { "wakes up" }.into(),
        _ => format!("record of kind {}", r.kind),
    }
}

fn module_state(state: u64) -> &'static str {
    let names = ["SYSINIT_PENDING", "SYSINIT_DONE", "SYSCONFIG_DONE", "SYS_READY", "SYS_SHUTDOWN", "not loaded"];
    names.get(state as usize).unwrap_or(&"?")
}
