//! The exploration: workers take seeds, machines run them, results are kept.

use super::evidence::Schedule;
use super::results::{GuestResult, Results, SeedResult};
use super::schedule::{Space, Strategy, schedule};
use super::shard::Shard;
use super::view::View;
use crate::run::{Counts, EndCause, Guests, Judged, UpdatableGuest, UpdateAttempt};
use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_judge::{Outcome, Verdict};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Updates in one guest: enough to make the restore cheap, few enough that a slow decay of the guest would show in the
/// seeds that follow. The platform must have room for as many.
pub const UPDATES_PER_GUEST: u32 = 64;
/// The same where each repetition makes all of them again.
const UPDATES_PER_REPEATING_GUEST: u32 = 8;
/// Failures of the rig in a row after which it gives up: whatever is wrong will not go away.
const MOST_RIG_ERRORS: u64 = 3;

/// What to explore.
#[derive(Clone, Debug)]
pub struct ExploreRequest {
    /// Seeds.
    pub seeds: Range<u64>,
    /// Which of them are this machine's.
    pub shard: Shard,
    /// How seeds become schedules.
    pub strategy: Strategy,
    /// Machines at once.
    pub workers: usize,
    /// No seed begins after this time.
    pub time: Option<Duration>,
    /// End with the first failure.
    pub stop_on_first: bool,
    /// Folder of results and evidence.
    pub folder: PathBuf,
}

/// How an exploration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All seeds are done.
    Done,
    /// The time is over.
    Time,
    /// A schedule failed, and that was to be the end.
    Failure,
    /// A person wanted the end.
    Interrupted,
    /// The rig failed again and again.
    Rig(String),
    /// A guest in which every update passed did not end well: its loads did not what they were to do.
    Load(String),
    /// A guest failed before its first update, so no schedule is to blame.
    BeforeUpdates(String),
}

struct Work<'a, G> {
    request: &'a ExploreRequest,
    space: Space,
    guests: &'a G,
    started: Instant,
    next: Mutex<Next>,
    results: Mutex<&'a mut Results>,
    rig_errors: AtomicU64,
    view: &'a View,
}

/// What is known of a guest that is under way.
struct UnderWay {
    /// Its folder, below that of the exploration.
    relative: PathBuf,
    /// The same folder, absolute.
    path: PathBuf,
    /// The holds of its updates so far, where repetitions make them again.
    before: Vec<Vec<HoldSpec>>,
    /// Seeds whose updates it made.
    seeds: Vec<u64>,
    /// Results that say nothing before it is known what the loads beside the updates did.
    pending: Vec<SeedResult>,
}

struct Next {
    seeds: Range<u64>,
    finished: BTreeSet<u64>,
    evidence: u64,
    end: Option<End>,
}

/// Runs the seeds that have no result yet.
pub fn explore<G: Guests>(
    request: &ExploreRequest,
    guests: &G,
    cpus: u32,
    results: &mut Results,
    view: &View,
) -> Result<End, Trouble> {
    let finished = results.finished();
    let evidence = results.found.seeds.iter().filter(|r| r.run.is_some()).count() + results.found.guests.len();
    let work = Work {
        space: Space::of_update(cpus, guests.ack_word()),
        next: Mutex::new(Next { seeds: request.seeds.clone(), finished, evidence: evidence as u64, end: None }),
        results: Mutex::new(results),
        rig_errors: AtomicU64::new(0),
        started: Instant::now(),
        request,
        guests,
        view,
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..request.workers).map(|_| scope.spawn(|| work.run())).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let end = work.next().end.clone();
    Ok(end.unwrap_or(End::Done))
}

impl<'a, G: Guests> Work<'a, G> {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next seed of this machine that has no result, unless the end is decided.
    fn take(&self) -> Option<u64> {
        let mut next = self.next();
        if self.request.time.is_some_and(|time| self.started.elapsed() >= time) {
            next.end.get_or_insert(End::Time);
        }
        if next.end.is_some() {
            return None;
        }
        let Next { seeds, finished, .. } = &mut *next;
        seeds.find(|seed| self.request.shard.has(*seed) && !finished.contains(seed))
    }

    fn stop(&self, end: End) {
        self.next().end.get_or_insert(end);
    }

    /// One worker: guest after guest until there is nothing left.
    fn run(&self) -> Result<(), Trouble> {
        let mut seed = self.take();
        while let Some(first) = seed {
            seed = self.guest(first)?;
        }
        Ok(())
    }

    /// The next guest, with a folder for its evidence.
    fn new_guest(&self) -> Result<UnderWay, Trouble> {
        loop {
            let number = {
                let mut next = self.next();
                next.evidence += 1;
                next.evidence
            };
            let relative = Path::new("guests").join(number.to_string());
            let path = self.request.folder.join(&relative);
            match std::fs::create_dir_all(path.parent().expect("it has one")).and_then(|()| std::fs::create_dir(&path))
            {
                Ok(()) => {
                    let (before, seeds, pending) = (Vec::new(), Vec::new(), Vec::new());
                    return Ok(UnderWay { relative, path, before, seeds, pending });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Trouble::file("make", &path, &e)),
            }
        }
    }

    /// One guest, from its start to its judged end. Returns the seed that it did not come to.
    fn guest(&self, first: u64) -> Result<Option<u64>, Trouble> {
        let mut run = self.new_guest()?;
        let mut guest = match self.guests.start(&run.path) {
            Ok(guest) => guest,
            Err(trouble) => return self.no_guest(first, &trouble),
        };
        if !guest.ready() {
            return self.finish_guest(first, guest.end()?, Counts::default(), run);
        }
        let mut seed = Some(first);
        for _ in 0..self.updates_per_guest() {
            let Some(current) = seed else { break };
            let holds = schedule(current, self.request.strategy, &self.space);
            match guest.update(&holds)? {
                UpdateAttempt::Passed(counts) => self.passed(current, holds.len() as u64, counts, &mut run)?,
                UpdateAttempt::Last(counts) => return self.finish_guest(current, guest.end()?, counts, run),
            }
            if self.guests.repeats() {
                run.before.push(holds);
            }
            seed = self.take();
        }
        self.leave(guest.end()?, run)?;
        Ok(seed)
    }

    fn updates_per_guest(&self) -> u32 {
        if self.guests.repeats() { UPDATES_PER_REPEATING_GUEST } else { UPDATES_PER_GUEST }
    }

    /// A guest in which all updates passed was judged to its end, too.
    fn leave(&self, Judged { verdict, cause }: Judged, run: UnderWay) -> Result<(), Trouble> {
        let why = verdict.reason.clone().unwrap_or_else(|| verdict.verdict.name().to_owned());
        match verdict.verdict {
            // Results that were added stay. Those that wait for the report of the loads do not count, since there is none.
            _ if cause == EndCause::Person => self.stop(End::Interrupted),
            Outcome::Passed | Outcome::Xfail => {
                run.pending.into_iter().try_for_each(|result| self.add(result))?;
                // Nothing failed in it, so its evidence is not needed. Files that cannot be removed do no harm.
                let _ = std::fs::remove_dir_all(&run.path);
            }
            Outcome::Failed if verdict.breaches.is_empty() && self.guests.has_loads() => {
                self.not_judged(&run, &why)?;
                self.stop(End::Load(why));
            }
            Outcome::Failed | Outcome::Xpass | Outcome::Hung | Outcome::GuestCrashed => {
                self.unassigned(&verdict, why, run)?;
            }
            Outcome::RigError | Outcome::Unjudged | Outcome::Skipped => {
                self.not_judged(&run, &format!("the end of its guest was not judged: {why}"))?;
                self.count_rig_error(why);
            }
        }
        Ok(())
    }

    /// Nothing is said of the seeds of a guest whose end was not judged; they run again.
    fn not_judged(&self, run: &UnderWay, why: &str) -> Result<(), Trouble> {
        run.seeds.iter().try_for_each(|seed| self.add(rig_error(*seed, why)))
    }

    fn count_rig_error(&self, why: String) {
        if self.rig_errors.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_RIG_ERRORS {
            self.stop(End::Rig(why));
        }
    }

    fn no_guest(&self, seed: u64, trouble: &Trouble) -> Result<Option<u64>, Trouble> {
        self.count_rig_error(trouble.cause.clone());
        self.add(rig_error(seed, &trouble.cause))?;
        Ok(self.take())
    }

    fn passed(&self, seed: u64, holds: u64, counts: Counts, run: &mut UnderWay) -> Result<(), Trouble> {
        let Counts { begun, satisfied, update_ms } = counts;
        self.rig_errors.store(0, Ordering::Relaxed);
        let (verdict, broken, reason) = (Outcome::Passed, Vec::new(), None);
        let result = SeedResult { seed, verdict, broken, reason, holds, begun, satisfied, update_ms, run: None };
        run.seeds.push(seed);
        if self.guests.has_loads() {
            run.pending.push(result);
            return Ok(());
        }
        self.add(result)
    }

    /// Records a guest that ended during the update of this seed. Returns the next seed.
    fn finish_guest(
        &self,
        seed: u64,
        judged: Judged,
        counts: Counts,
        mut run: UnderWay,
    ) -> Result<Option<u64>, Trouble> {
        let Judged { verdict, cause } = judged;
        if cause == EndCause::Person {
            // The seed was not finished, so it has no result and will run again.
            self.stop(End::Interrupted);
            return Ok(None);
        }
        let is_judged = !matches!(verdict.verdict, Outcome::RigError | Outcome::Skipped);
        let pending = std::mem::take(&mut run.pending);
        if is_judged {
            pending.into_iter().try_for_each(|result| self.add(result))?;
        } else {
            let why = "the guest ended before it was known what the load beside its update did";
            pending.iter().try_for_each(|result| self.add(rig_error(result.seed, why)))?;
        }
        if is_judged && cause == EndCause::NoUpdate {
            let why = verdict.reason.clone().unwrap_or_else(|| verdict.verdict.name().to_owned());
            if run.seeds.is_empty() {
                self.stop(End::BeforeUpdates(why.clone()));
            }
            self.unassigned(&verdict, why, run)?;
            return Ok(if self.next().end.is_some() { None } else { Some(seed) });
        }
        self.conclude(seed, &verdict, counts, run)?;
        Ok(self.take())
    }

    /// What failed in a guest and belongs to no one seed.
    fn unassigned(&self, verdict: &Verdict, reason: String, run: UnderWay) -> Result<(), Trouble> {
        let broken = verdict.breaches.iter().map(|b| b.invariant.name().to_owned()).collect();
        let guest = GuestResult { seeds: run.seeds, verdict: verdict.verdict, broken, reason, run: run.relative };
        if self.request.stop_on_first {
            self.stop(End::Failure);
        }
        self.results().add_guest(guest)
    }

    fn conclude(&self, seed: u64, verdict: &Verdict, counts: Counts, run: UnderWay) -> Result<(), Trouble> {
        let holds = schedule(seed, self.request.strategy, &self.space);
        let kept = Schedule {
            seed: Some(seed),
            strategy: Some(self.request.strategy),
            holds: holds.clone(),
            before: run.before,
            digest: verdict.facts.digest.clone(),
            made_of: if self.guests.repeats() { self.guests.made_of().clone() } else { Value::Null },
        };
        super::evidence::write(&run.path, &kept)?;
        let result = SeedResult {
            seed,
            verdict: if verdict.verdict == Outcome::Passed { Outcome::Failed } else { verdict.verdict },
            broken: verdict.breaches.iter().map(|b| b.invariant.name().to_owned()).collect(),
            reason: verdict.reason.clone().or_else(|| Some("the update did not do what it was to do".into())),
            holds: holds.len() as u64,
            begun: counts.begun,
            satisfied: counts.satisfied,
            update_ms: counts.update_ms,
            run: Some(run.relative),
        };
        if result.has_failed() && self.request.stop_on_first {
            self.stop(End::Failure);
        }
        if !result.is_judged() {
            self.count_rig_error(result.reason.clone().unwrap_or_default());
        }
        self.add(result)
    }

    fn results(&self) -> MutexGuard<'_, &'a mut Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, result: SeedResult) -> Result<(), Trouble> {
        let mut results = self.results();
        results.add(result)?;
        self.view.show(&results.found.seeds, self.guests.orders());
        Ok(())
    }
}

/// A seed of which the rig can say nothing, so that it runs again.
fn rig_error(seed: u64, why: &str) -> SeedResult {
    let (broken, reason, run) = (Vec::new(), Some(why.to_owned()), None);
    SeedResult { seed, verdict: Outcome::RigError, broken, reason, holds: 0, begun: 0, satisfied: 0, update_ms: 0, run }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Script};
    use super::super::results::{self, Found};
    use super::super::summary::Summary;
    use super::*;
    use crate::trouble::Exit;

    /// Explores these seeds with guests that come to these ends.
    fn explored(fake: &Fake, seeds: Range<u64>, folder: &Path) -> (End, Found) {
        let request = ExploreRequest {
            seeds,
            shard: Shard::WHOLE,
            strategy: Strategy::Priorities,
            workers: 1,
            time: None,
            stop_on_first: false,
            folder: folder.to_owned(),
        };
        let mut results = Results::open(&folder.join("results.jsonl"), &results::tests::header()).unwrap();
        let end = explore(&request, fake, 4, &mut results, &View::new(0, None)).unwrap();
        (end, results.found.clone())
    }

    fn outcomes(found: &Found) -> Vec<(u64, Outcome)> {
        found.latest().map(|result| (result.seed, result.verdict)).collect()
    }

    fn with_loads(scripts: &[Script]) -> Fake {
        Fake { has_loads: true, ..Fake::new(scripts) }
    }

    use Outcome::{Failed, Passed, RigError};

    #[test]
    fn a_guest_is_judged_to_its_end_though_all_its_updates_passed() {
        for fake in [Fake::new(&[Script::WarnsAtItsEnd]), with_loads(&[Script::WarnsAtItsEnd])] {
            let dir = tempfile::tempdir().unwrap();
            let (end, found) = explored(&fake, 0..2, dir.path());
            assert_eq!(end, End::Done);
            let [guest] = &found.guests[..] else { panic!("{found:?}") };
            assert_eq!(
                (&guest.seeds[..], guest.verdict, &guest.broken[..]),
                (&[0, 1][..], Failed, &["quiet-kernel".to_owned()][..])
            );
            assert!(dir.path().join(&guest.run).is_dir(), "its evidence is kept");
            assert_eq!(Summary::of(&found).exit(), Exit::Failed);
        }
    }

    #[test]
    fn a_pass_leaves_results_and_no_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let (end, found) = explored(&Fake::new(&[Script::Passes]), 0..3, dir.path());
        assert_eq!((end, outcomes(&found)), (End::Done, vec![(0, Passed), (1, Passed), (2, Passed)]));
        assert_eq!(Summary::of(&found).exit(), Exit::Passed);
        assert_eq!(std::fs::read_dir(dir.path().join("guests")).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_belongs_to_the_seed_whose_update_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let (_, found) = explored(&Fake::new(&[Script::Fails(2), Script::Passes]), 0..3, dir.path());
        assert_eq!(outcomes(&found), [(0, Passed), (1, Failed), (2, Passed)]);
        assert!(found.guests.is_empty());
    }

    #[test]
    fn a_warning_between_two_updates_belongs_to_none_and_the_next_seed_runs_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(&[Script::WarnsBefore(2), Script::Passes]);
        let (end, found) = explored(&fake, 0..3, dir.path());
        assert_eq!((end, outcomes(&found)), (End::Done, vec![(0, Passed), (1, Passed), (2, Passed)]));
        assert_eq!(found.guests.iter().map(|guest| &guest.seeds[..]).collect::<Vec<_>>(), [&[0][..]]);
        assert_eq!((fake.left(), Summary::of(&found).exit()), (0, Exit::Failed));
    }

    #[test]
    fn a_guest_that_fails_before_its_first_update_ends_the_exploration() {
        for script in [Script::WarnsBefore(1), Script::HangsAtItsStart] {
            let dir = tempfile::tempdir().unwrap();
            let (end, found) = explored(&Fake::new(&[script]), 0..3, dir.path());
            assert!(matches!(end, End::BeforeUpdates(_)), "{end:?}");
            assert_eq!((found.seeds.len(), Summary::of(&found).exit()), (0, Exit::Failed));
        }
    }

    #[test]
    fn seeds_of_a_guest_whose_end_was_not_judged_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let (_, found) = explored(&Fake::new(&[Script::LostAtItsEnd]), 0..2, dir.path());
        assert_eq!(outcomes(&found), [(0, RigError), (1, RigError)]);
        assert_eq!(Summary::of(&found).exit(), Exit::Environment);
        let (_, found) = explored(&Fake::new(&[Script::Passes]), 0..2, dir.path());
        assert_eq!(outcomes(&found), [(0, Passed), (1, Passed)]);
        assert_eq!(Summary::of(&found).exit(), Exit::Passed);
    }

    #[test]
    fn scattered_errors_of_the_rig_are_no_pass_and_many_end_it() {
        let dir = tempfile::tempdir().unwrap();
        let (end, found) = explored(&Fake::new(&[Script::Unstartable, Script::Passes]), 0..3, dir.path());
        assert_eq!((end, outcomes(&found)), (End::Done, vec![(0, RigError), (1, Passed), (2, Passed)]));
        assert_eq!(Summary::of(&found).exit(), Exit::Environment);
        let dir = tempfile::tempdir().unwrap();
        let (end, _) =
            explored(&Fake::new(&[Script::Unstartable, Script::Lost, Script::Unstartable]), 0..9, dir.path());
        assert_eq!(end, End::Rig("no memory".into()));
    }

    #[test]
    fn what_passed_beside_a_load_counts_when_the_load_did_its_work() {
        let dir = tempfile::tempdir().unwrap();
        let (end, found) = explored(&with_loads(&[Script::IdleLoad]), 0..2, dir.path());
        assert!(matches!(end, End::Load(_)), "{end:?}");
        assert_eq!(outcomes(&found), [(0, RigError), (1, RigError)], "they run again when the load is mended");
        let dir = tempfile::tempdir().unwrap();
        let (_, found) = explored(&with_loads(&[Script::Passes]), 0..2, dir.path());
        assert_eq!(outcomes(&found), [(0, Passed), (1, Passed)]);
    }

    #[test]
    fn ctrl_c_leaves_what_was_judged_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (end, found) = explored(&Fake::new(&[Script::Interrupted]), 0..2, dir.path());
        assert_eq!((end, found), (End::Interrupted, Found::default()));
        let (end, found) = explored(&Fake::new(&[Script::InterruptedAtItsEnd]), 0..2, dir.path());
        assert_eq!((end, outcomes(&found)), (End::Interrupted, vec![(0, Passed), (1, Passed)]));
        let dir = tempfile::tempdir().unwrap();
        let (end, found) = explored(&with_loads(&[Script::InterruptedAtItsEnd]), 0..2, dir.path());
        assert_eq!((end, found), (End::Interrupted, Found::default()), "nobody knows what the load did");
    }
}
