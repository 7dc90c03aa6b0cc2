//! Whether a recording is well-formed: the pass before all rules.
//!
//! The rules judge the subject by its records. A record that cannot be (an LP that the machine does not have, a SEAMCALL's end
//! without its beginning) says nothing of the subject: either the recorder is wrong, or the emulator met what it could not
//! follow and the guest has been lied to. So what is found here breaks no invariant. It ends the run as a fault of the rig.

use crate::Setup;
use crate::timeline::{Decoder, Event, Leaf, Place, What};
use rig_wire::event::{Kind, Mark, NO_LP, Record, update_ended};
use std::fmt;

/// A record that no sound recording has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its place in the recording, from 0.
    pub place: u64,
    /// The LP that it names; none: it names none, or the fault is of the whole recording.
    pub lp: Option<u16>,
    /// What is wrong with it, in one line.
    pub what: String,
}

impl Malformed {
    pub(crate) fn line_missing(record: &Record) -> Self {
        let what = format!(
            "the kernel's log has fewer than {} lines: it was cut, or is that of another run",
            record.a.saturating_add(1)
        );
        Self { place: record.seq, lp: None, what }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the recording cannot be trusted: record #{}", self.place)?;
        if let Some(lp) = self.lp {
            write!(f, " (CPU {lp})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What is known of a recording's form up to one record.
#[derive(Debug)]
pub(crate) struct Form {
    /// The place that the next record must name.
    next: u64,
    lines: u64,
    lps: Vec<Lp>,
    /// The upload that began and has not ended, by its number.
    upload: Option<u32>,
    has_ended: bool,
    /// Calls are seen by probes around the kernel's functions, where one may interrupt another, or move to another LP.
    is_probed: bool,
    follows_install: bool,
}

/// What one LP is in the middle of.
#[derive(Clone, Copy, Debug, Default)]
struct Lp {
    call: Option<Leaf>,
    inside_install: bool,
}

impl Form {
    pub(crate) fn new(setup: &Setup, decoder: &Decoder) -> Self {
        Self {
            next: 0,
            lines: 0,
            lps: vec![Lp::default(); usize::from(setup.lps)],
            upload: None,
            has_ended: false,
            is_probed: setup.is_probed,
            follows_install: decoder.follows(Place::Install),
        }
    }

    /// Takes note of the next record, or says why no sound recording has it there.
    pub(crate) fn check(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let place = self.next;
        self.next += 1;
        self.fault(event, place).map_or(Ok(()), |what| Err(Malformed { place, lp: event.lp(), what }))
    }

    /// What a run that is said to be finished must not leave open.
    pub(crate) fn check_end(&self) -> Result<(), Malformed> {
        let open =
            self.upload.map(|number| format!("upload {number} has no end, though the run is said to be finished"));
        open.map_or(Ok(()), |what| Err(Malformed { place: self.next, lp: None, what }))
    }

    /// A recording that ends without saying how: whoever wrote it was killed, or the file was cut.
    pub(crate) fn without_end(&self) -> Malformed {
        let what =
            "the recording stops here without the run's end: the rig that wrote it was killed, or the file was cut";
        Malformed { place: self.next, lp: None, what: what.into() }
    }

    fn fault(&mut self, event: &Event<'_>, place: u64) -> Option<String> {
        let record = event.record;
        if record.seq != place {
            return Some(format!(
                "it says that it is record #{}: a record is missing, doubled or misplaced",
                record.seq
            ));
        }
        if self.has_ended {
            return Some("it stands behind the run's end".into());
        }
        let Some(kind) = Kind::from_u16(record.kind) else {
            return Some(format!("its kind {} is none that this rig knows", record.kind));
        };
        match kind {
            Kind::Unknown => Some(unknown(record)),
            Kind::Mark => self.mark(record),
            Kind::Console => self.line(record),
            _ if record.lp == NO_LP => {
                Some(format!("a record of this kind ({kind:?}) belongs to a CPU, and it names none"))
            }
            _ => self.on_lp(event),
        }
    }

    fn on_lp(&mut self, event: &Event<'_>) -> Option<String> {
        let all = self.lps.len();
        let Some(lp) = self.lps.get_mut(usize::from(event.record.lp)) else {
            return Some(format!("the machine has {all} CPUs and not this one"));
        };
        match event.what {
            _ if self.is_probed => None,
            What::CallEnter(leaf) => {
                let before = lp.call.replace(leaf);
                before.map(|before| format!("{} begins inside {}", leaf.name(), before.name()))
            }
            What::CallExit(leaf, _) => match lp.call.take() {
                Some(begun) if begun == leaf => None,
                Some(begun) => Some(format!("{} ends inside {}", leaf.name(), begun.name())),
                None => Some(format!("{} ends and has not begun", leaf.name())),
            },
            What::Load(..) | What::Store(..) | What::Enter(_) | What::Exit(..) if lp.call.is_some() => {
                lp.call.map(|leaf| format!("the CPU goes on with the kernel's code inside {}", leaf.name()))
            }
            What::Enter(Place::Install) => {
                let was_inside = std::mem::replace(&mut lp.inside_install, true);
                was_inside.then(|| "the CPU enters the section in which it is".into())
            }
            What::Exit(Place::Install, _) => {
                let was_inside = std::mem::replace(&mut lp.inside_install, false);
                (!was_inside && self.follows_install)
                    .then(|| "the CPU leaves the section without having entered it".into())
            }
            _ => None,
        }
    }

    fn mark(&mut self, record: &Record) -> Option<String> {
        match Mark::from_u64(record.a) {
            None => Some(format!("its mark {} is none that this rig knows", record.a)),
            Some(Mark::UpdateBegin) => {
                let before = self.upload.replace(record.b as u32);
                before.map(|before| format!("upload {} begins before upload {before} ended", record.b))
            }
            Some(Mark::UpdateEnd) => {
                let (ended, _) = update_ended(record.b);
                match self.upload.take() {
                    Some(begun) if begun == ended => None,
                    Some(begun) => Some(format!("upload {ended} ends while upload {begun} is under way")),
                    None => Some(format!("upload {ended} ends and has not begun")),
                }
            }
            Some(Mark::RunEnd) => {
                self.has_ended = true;
                None
            }
            Some(Mark::Repeated) => {
                let is_known = usize::from(record.lp) < self.lps.len();
                (!is_known).then(|| "it tells of repeated calls, and names no CPU of the machine".into())
            }
            Some(Mark::Ready | Mark::Stalled | Mark::HostTook) => None,
        }
    }

    fn line(&mut self, record: &Record) -> Option<String> {
        let expected = self.lines;
        self.lines += 1;
        (record.a != expected)
            .then(|| format!("it names line {} of the console, and line {expected} is next", record.a))
    }
}

/// The emulator met an instruction that it cannot follow, or a guest that breaks the mailbox's protocol, and went on as best it
/// could.
fn unknown(record: &Record) -> String {
    format!(
        "the emulator could not follow the guest at {:#x} (instruction bytes {:016x}): what came after is no longer the guest's own doing",
        record.a, record.b
    )
}
