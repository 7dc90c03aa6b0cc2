//! Which records show progress of the guest.

use rig_wire::event::{Kind, Mark, Record, flags};

/// Whether a record is this mark.
pub(super) fn is_mark(record: &Record, mark: Mark) -> bool {
    record.kind == Kind::Mark as u16 && record.a == mark as u64
}

/// Whether a record shows that the guest gets on, rather than that it waits: loads of a watched word are how CPUs spin,
/// and interrupts come to a guest that does nothing.
pub(super) fn is_progress(record: &Record) -> bool {
    match Kind::from_u16(record.kind) {
        Some(Kind::Watch) => record.flags & flags::STORE != 0,
        // The one says that an LP repeats itself, the other speaks of the host.
        Some(Kind::Mark) => !is_mark(record, Mark::Repeated) && !is_mark(record, Mark::HostTook),
        Some(Kind::Interrupt | Kind::Exception | Kind::Idle | Kind::HoldBegin | Kind::HoldEnd) | None => false,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_is_no_progress() {
        let load = Record { kind: Kind::Watch as u16, ..Record::default() };
        let store = Record { flags: flags::STORE, ..load };
        assert!(!is_progress(&load));
        assert!(is_progress(&store));
        assert!(!is_progress(&Record { kind: 999, ..load }));
    }
}
