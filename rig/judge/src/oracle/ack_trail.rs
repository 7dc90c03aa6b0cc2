//! How the counter of acknowledgements came to its value: what each LP read of it and wrote to it, and who reset it.

use crate::finding::Breach;
use crate::timeline::{Event, What, Word};
use crate::tracker::Tracker;
use crate::{Invariant, Step};
use rig_wire::event::Record;

/// The last accesses to the counter, at most two for each LP.
#[derive(Debug, Default)]
pub(super) struct AckTrail {
    /// By LP.
    accesses: Vec<Accesses>,
    /// The last store of 0.
    reset: Option<Record>,
    /// The last store of the state.
    advance: Option<Record>,
}

/// What one LP did to the counter last.
#[derive(Clone, Copy, Debug, Default)]
struct Accesses {
    /// The last recorded load. Later ones read the same value, else they would be recorded.
    latest: Option<Record>,
    /// That of the time of `store`.
    load: Option<Record>,
    store: Option<Record>,
}

impl AckTrail {
    /// Takes an event on `lp`.
    pub(super) fn observe(&mut self, event: &Event<'_>, lp: u16) {
        match event.what {
            What::Load(Word::NumAck, _) => self.of_mut(lp).latest = Some(*event.record),
            What::Store(Word::NumAck, 0) => self.reset = Some(*event.record),
            What::Store(Word::State, _) => self.advance = Some(*event.record),
            What::Store(Word::NumAck, _) => {
                let own = self.of_mut(lp);
                (own.load, own.store) = (own.latest, Some(*event.record));
            }
            _ => {}
        }
    }

    /// The breach, when the counter says `count` after the store `event` on `lp`, where `counted` CPUs acknowledged `step`.
    pub(super) fn miscount(
        &self,
        past: &Tracker,
        event: &Event<'_>,
        step: Option<Step>,
        (count, counted): (u64, u64),
    ) -> Breach {
        let lp = event.record.lp;
        let word = past.decoder.word_name(event.record.a);
        let after = match (counted, step) {
            (1, Some(step)) => format!("after 1 CPU acknowledged {step}"),
            (n, Some(step)) => format!("after {n} CPUs acknowledged {step}"),
            (n, None) => format!("after {n} acknowledgements"),
        };
        let own = self.of(lp);
        let other = self.other_with(lp, count);
        let lps: Vec<u16> = other.iter().map(|other| other.lp).chain([lp]).collect();
        let others = other.iter().flat_map(|other| self.of(other.lp).records()).collect::<Vec<_>>();
        let how = self.how(lp, other, count);
        let place = past.decoder.code_name(event.record.d).map(|place| format!(" ({place})")).unwrap_or_default();
        let context = self.reset.into_iter().chain(self.not_yet_reset().filter(|_| other.is_none()));
        let records: Vec<Record> = context.chain(others).chain(own.records()).chain([*event.record]).collect();
        past.breach(Invariant::Lockstep, &lps, step)
            .expected(format!("{word} is {counted} {after}"))
            .seen(format!("{word} is {count} {after}: {how}{place}"))
            .events(past.cite(&records))
    }

    /// The accesses that explain the count.
    fn how(&self, lp: u16, other: Option<Record>, count: u64) -> String {
        let load = self.of(lp).load;
        match (other, load) {
            (Some(other), Some(load)) if self.of(other.lp).load.is_some_and(|its| its.b == load.b) => {
                format!("CPU {} and CPU {lp} both read {} and both wrote {count}", other.lp, load.b)
            }
            (Some(other), _) => format!("CPU {} and CPU {lp} both wrote {count}", other.lp),
            (None, Some(load)) => match self.reset.filter(|reset| self.is_stale(&load, reset)) {
                Some(reset) => format!(
                    "CPU {lp} read {} before CPU {} reset it to 0, and wrote {count} after that",
                    load.b, reset.lp
                ),
                None => match self.not_yet_reset() {
                    Some(advance) => format!(
                        "CPU {} had advanced the state and not yet reset the counter: CPU {lp} read {} and wrote {count}",
                        advance.lp, load.b
                    ),
                    None => format!("CPU {lp} read {} and wrote {count}", load.b),
                },
            },
            (None, None) => format!("CPU {lp} wrote {count}"),
        }
    }

    /// Whether a load saw the counter as it was before `reset`. A load of the value that its LP loaded last is not recorded, so
    /// an old record may stand for a new load, unless nobody stored that value since.
    fn is_stale(&self, load: &Record, reset: &Record) -> bool {
        let stores = self.accesses.iter().filter_map(|accesses| accesses.store);
        let again = stores.filter(|store| store.seq > reset.seq).any(|store| store.b == load.b);
        load.seq < reset.seq && load.b != 0 && !again
    }

    /// The store that advanced the state, as long as nobody reset the counter after it.
    fn not_yet_reset(&self) -> Option<Record> {
        self.advance.filter(|advance| self.reset.is_none_or(|reset| reset.seq < advance.seq))
    }

    /// The store of `count` by another LP since the last reset.
    fn other_with(&self, lp: u16, count: u64) -> Option<Record> {
        let since = self.reset.map_or(0, |reset| reset.seq);
        let stores = self.accesses.iter().filter_map(|accesses| accesses.store);
        stores.filter(|store| store.lp != lp && store.b == count && store.seq >= since).max_by_key(|store| store.seq)
    }

    fn of(&self, lp: u16) -> Accesses {
        self.accesses.get(usize::from(lp)).copied().unwrap_or_default()
    }

    fn of_mut(&mut self, lp: u16) -> &mut Accesses {
        let index = usize::from(lp);
        if self.accesses.len() <= index {
            self.accesses.resize(index + 1, Accesses::default());
        }
        &mut self.accesses[index]
    }
}

impl Accesses {
    fn records(self) -> impl Iterator<Item = Record> {
        self.load.into_iter().chain(self.store)
    }
}

#[cfg(test)]
mod tests {
    use crate::synthetic::{Synthetic, Twist};
    use crate::timeline::Decoder;
    use crate::{Breach, Invariant, Judge, Setup, SubjectNames};
    use rig_wire::event::{Kind, Record, flags};
    use rig_wire::plan::{Function, Watch};

    const CODE: u64 = 0xffff_ffff_8107_8700;

    /// What an LP does to a word: 0 is the state, 1 the counter.
    fn judged(accesses: &[(u16, u64, bool, u64)]) -> Breach {
        let mut setup = Setup::new(4, SubjectNames::in_tree());
        let watch = |name: &str| Watch { name: name.into(), address: 0x1000, size: 4, within: Vec::new() };
        setup.watches = vec![watch("update_ctrl.state"), watch("update_ctrl.num_ack")];
        setup.functions = vec![Function { name: "ack_state".into(), range: (CODE - 0x14, CODE + 0x100) }];
        let mut judge = Judge::new(setup);
        let mut breaches = (0..).zip(accesses).filter_map(|(seq, (lp, word, store, value))| {
            let flags = if *store { flags::STORE } else { 0 };
            let (a, b, d, kind) = (*word, *value, CODE, Kind::Watch as u16);
            judge.observe(&Record { seq, lp: *lp, kind, flags, a, b, d, ..Record::default() })
        });
        breaches.next().expect("it breaks lockstep")
    }

    type Accesses<'a> = &'a [(u16, u64, bool, u64)];

    const BEGUN: (u16, u64, bool, u64) = (3, 0, true, 1);

    /// Every CPU reads the state that it will acknowledge.
    fn all_read(state: u64) -> Vec<(u16, u64, bool, u64)> {
        (0..4).map(|lp| (lp, 0, false, state)).collect()
    }

    #[test]
    fn two_that_read_the_same_are_named_with_their_loads() {
        let race = [(1, 1, false, 0), (3, 1, false, 0), (1, 1, true, 1), (3, 1, true, 1)];
        let breach = judged(&[&[BEGUN], all_read(1).as_slice(), &race].concat());
        assert_eq!(
            breach.seen,
            "update_ctrl.num_ack is 1 after 2 CPUs acknowledged SHUTDOWN: CPU 1 and CPU 3 both read 0 and both wrote 1 \
             (ack_state+0x14)"
        );
        assert_eq!(
            (breach.expected.as_str(), breach.lps.as_slice()),
            ("update_ctrl.num_ack is 2 after 2 CPUs acknowledged SHUTDOWN", [1, 3].as_slice())
        );
        assert_eq!(breach.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert_eq!(breach.events[0].what, "loads update_ctrl.num_ack = 0 (ack_state+0x14)");
    }

    #[test]
    fn a_store_of_what_was_read_before_the_reset_is_told_with_the_reset() {
        let acked = [(0, 1, true, 1), (1, 1, true, 2), (2, 1, true, 3), (3, 1, true, 4)];
        let next = [(3, 0, true, 2), (2, 0, false, 2), (2, 1, false, 4), (3, 1, true, 0), (2, 1, true, 5)];
        let breach = judged(&[&[BEGUN], all_read(1).as_slice(), &acked, &next].concat());
        assert_eq!(
            breach.seen,
            "update_ctrl.num_ack is 5 after 1 CPU acknowledged CPU_INSTALL: CPU 2 read 4 before CPU 3 reset it to 0, and \
             wrote 5 after that (ack_state+0x14)"
        );
        assert_eq!(breach.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [11, 12, 13]);
    }

    #[test]
    fn a_counter_that_is_yet_to_be_reset_is_told_with_the_store_of_the_state() {
        let acked = [(0, 1, true, 1), (1, 1, true, 2), (2, 1, true, 3), (3, 1, true, 4)];
        let next = [(3, 0, true, 2), (2, 0, false, 2), (2, 1, false, 4), (2, 1, true, 5)];
        let breach = judged(&[&[BEGUN], all_read(1).as_slice(), &acked, &next].concat());
        assert_eq!(
            breach.seen,
            "update_ctrl.num_ack is 5 after 1 CPU acknowledged CPU_INSTALL: CPU 3 had advanced the state and not yet reset the \
             counter: CPU 2 read 4 and wrote 5 (ack_state+0x14)"
        );
        assert!(breach.events.iter().any(|event| event.what.starts_with("stores update_ctrl.state = 2")), "{breach}");
    }

    /// What an LP read is told with what it wrote, and taken for old only if nothing else explains it.
    #[test]
    fn a_wrong_count_is_told_by_what_was_read() {
        let acked = [(0, 1, true, 1), (1, 1, true, 2), (2, 1, true, 3), (3, 1, true, 4)];
        let begun = [&[BEGUN], all_read(1).as_slice()].concat();
        let installing = [begun.as_slice(), &acked, &[(3, 0, true, 2), (3, 1, true, 0)], &all_read(2)].concat();
        let initialising = [installing.as_slice(), &acked, &[(3, 0, true, 3)], &all_read(3)].concat();
        let table: [(Accesses<'_>, Accesses<'_>, &str); 7] = [
            (
                &begun,
                &[(1, 1, false, 0), (1, 1, true, 1), (3, 1, false, 1), (3, 1, true, 1)],
                "CPU 1 and CPU 3 both wrote 1",
            ),
            (&begun, &[(1, 1, true, 3)], "CPU 1 wrote 3"),
            (
                &begun,
                &[(1, 1, false, 2), (1, 1, true, 3)],
                "CPU 3 had advanced the state and not yet reset the counter: CPU 1 read 2 and wrote 3",
            ),
            (&installing, &[(2, 1, false, 0), (2, 1, true, 5)], "CPU 2 read 0 and wrote 5"),
            (&installing, &[(2, 1, false, 3), (2, 1, true, 5)], "CPU 2 read 3 and wrote 5"),
            (
                &installing,
                &[(0, 1, false, 0), (0, 1, true, 1), (2, 1, false, 1), (2, 1, true, 3)],
                "CPU 2 read 1 and wrote 3",
            ),
            (
                &initialising,
                &[(2, 1, false, 4), (2, 1, true, 5)],
                "CPU 3 had advanced the state and not yet reset the counter: CPU 2 read 4 and wrote 5",
            ),
        ];
        for (before, accesses, words) in table {
            let seen = judged(&[before, accesses].concat()).seen;
            assert_eq!(seen.split_once(": ").unwrap().1.trim_end_matches(" (ack_state+0x14)"), words);
        }
    }

    /// A load that is not recorded again reads the value that its LP read last, which another LP may have stored anew.
    #[test]
    fn an_old_load_may_stand_for_a_new_one() {
        let acked = [(0, 1, true, 1), (2, 1, false, 1), (1, 1, true, 2), (2, 1, true, 3), (3, 1, true, 4)];
        let next =
            [(3, 0, true, 2), (3, 1, true, 0), (0, 0, false, 2), (2, 0, false, 2), (0, 1, true, 1), (2, 1, true, 3)];
        let seen = judged(&[&[BEGUN], all_read(1).as_slice(), &acked, &next].concat()).seen;
        assert!(seen.ends_with(": CPU 2 read 1 and wrote 3 (ack_state+0x14)"), "{seen}");
        let begun = [(2, 1, false, 0), (0, 1, true, 1), (1, 1, true, 2), (2, 1, true, 3), (3, 1, true, 4)];
        let next = [(3, 0, true, 2), (3, 1, true, 0), (2, 0, false, 2), (2, 1, true, 5)];
        let seen = judged(&[&[BEGUN], all_read(1).as_slice(), &begun, &next].concat()).seen;
        assert!(seen.ends_with(": CPU 2 read 0 and wrote 5 (ack_state+0x14)"), "{seen}");
    }

    #[test]
    fn the_imitation_without_its_lock_is_explained() {
        let breaches = (0..20).filter_map(|seed| {
            let run = Synthetic::new(16).seed(seed).boot().twist(Twist::UnlockedAck).update();
            run.judge().1.map(|breach| (breach, Decoder::new(&run.setup)))
        });
        for (breach, decoder) in breaches {
            assert_eq!(breach.invariant, Invariant::Lockstep);
            assert!(breach.seen.contains(" both read ") || breach.seen.contains(" before CPU "), "{breach}");
            assert!(
                breach.events.iter().any(|event| decoder.describe(&event.record).starts_with("loads ")),
                "{breach}"
            );
        }
    }
}
