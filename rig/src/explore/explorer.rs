//! The exploration: workers take seeds, machines run them, results are kept.

use super::evidence::Schedule;
use super::results::{Results, SeedResult};
use super::schedule::{Space, Strategy, schedule};
use super::shard::Shard;
use super::view::View;
use crate::run::{Counts, Ended, Session, Sessions, Tried};
use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_judge::{Outcome, Verdict};
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
pub struct Request {
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
}

struct Work<'a> {
    request: &'a Request,
    space: Space,
    sessions: &'a Sessions,
    started: Instant,
    next: Mutex<Next>,
    results: Mutex<&'a mut Results>,
    rig_errors: AtomicU64,
    view: &'a View,
}

/// Folder of a guest, below that of the exploration, and the holds of its updates so far.
type Evidence = (PathBuf, Vec<Vec<HoldSpec>>);

struct Next {
    seeds: Range<u64>,
    finished: BTreeSet<u64>,
    evidence: u64,
    end: Option<End>,
}

/// Runs the seeds that have no result yet.
pub fn explore(
    request: &Request,
    sessions: &Sessions,
    cpus: u32,
    results: &mut Results,
    view: &View,
) -> Result<End, Trouble> {
    let finished = results.finished();
    let evidence = results.done.iter().filter(|r| r.run.is_some()).count() as u64;
    let work = Work {
        space: Space::of_update(cpus, sessions.ack_word()),
        next: Mutex::new(Next { seeds: request.seeds.clone(), finished, evidence, end: None }),
        results: Mutex::new(results),
        rig_errors: AtomicU64::new(0),
        started: Instant::now(),
        request,
        sessions,
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

impl Work<'_> {
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

    /// A folder for the evidence of the next guest.
    fn folder(&self) -> Result<(PathBuf, PathBuf), Trouble> {
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
                Ok(()) => return Ok((relative, path)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Trouble::file("make", &path, &e)),
            }
        }
    }

    /// One guest, from its restore to its last update. Returns the seed that it did not come to.
    fn guest(&self, first: u64) -> Result<Option<u64>, Trouble> {
        let (relative, path) = self.folder()?;
        let mut session = match self.sessions.start(&path) {
            Ok(session) => session,
            Err(trouble) => return self.no_guest(first, &trouble),
        };
        let mut before = Vec::new();
        if let Err(ended) = session.ready() {
            let verdict = session.end(*ended)?;
            self.conclude(first, &verdict, Counts::default(), (relative, before))?;
            return Ok(self.take());
        }
        let mut seed = Some(first);
        for _ in 0..self.updates_per_guest() {
            let Some(current) = seed else { break };
            let holds = schedule(current, self.request.strategy, &self.space);
            match session.update(&holds)? {
                Tried::Passed(counts) => self.passed(current, holds.len() as u64, counts)?,
                Tried::Ended(ended) => {
                    self.failed(current, session, *ended, (relative, before))?;
                    return Ok(self.take());
                }
            }
            if self.sessions.repeats() {
                before.push(holds);
            }
            seed = self.take();
        }
        self.leave(session)?;
        // Nothing failed in it, so nobody needs its evidence; what cannot be removed stays in the way of nobody.
        let _ = std::fs::remove_dir_all(&path);
        Ok(seed)
    }

    /// Ends a guest in which all updates passed. Had its loads done nothing, that would say nothing.
    fn leave(&self, session: Session) -> Result<(), Trouble> {
        if !self.sessions.has_loads() {
            drop(session);
            return Ok(());
        }
        let verdict = session.finish()?;
        if verdict.verdict != Outcome::Passed {
            let why = verdict.reason.unwrap_or_else(|| verdict.verdict.name().to_owned());
            self.stop(End::Load(why));
        }
        Ok(())
    }

    fn updates_per_guest(&self) -> u32 {
        if self.sessions.repeats() { UPDATES_PER_REPEATING_GUEST } else { UPDATES_PER_GUEST }
    }

    fn no_guest(&self, seed: u64, trouble: &Trouble) -> Result<Option<u64>, Trouble> {
        if self.rig_errors.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_RIG_ERRORS {
            self.stop(End::Rig(trouble.cause.clone()));
        }
        self.add(SeedResult {
            seed,
            verdict: Outcome::RigError,
            broken: Vec::new(),
            reason: Some(trouble.cause.clone()),
            holds: 0,
            begun: 0,
            satisfied: 0,
            update_ms: 0,
            run: None,
        })?;
        Ok(self.take())
    }

    fn passed(&self, seed: u64, holds: u64, counts: Counts) -> Result<(), Trouble> {
        let Counts { begun, satisfied, update_ms } = counts;
        self.rig_errors.store(0, Ordering::Relaxed);
        let (verdict, broken, reason, run) = (Outcome::Passed, Vec::new(), None, None);
        self.add(SeedResult { seed, verdict, broken, reason, holds, begun, satisfied, update_ms, run })
    }

    fn failed(&self, seed: u64, session: Session, ended: Ended, run: Evidence) -> Result<(), Trouble> {
        let counts = ended.counts;
        let verdict = session.end(ended)?;
        self.conclude(seed, &verdict, counts, run)
    }

    fn conclude(&self, seed: u64, verdict: &Verdict, counts: Counts, (run, before): Evidence) -> Result<(), Trouble> {
        let interrupted = verdict.reason.as_ref().is_some_and(|reason| reason.starts_with("interrupted"));
        if verdict.verdict == Outcome::RigError && interrupted {
            // It came to no end, so it has no result and will run again.
            self.stop(End::Interrupted);
            return Ok(());
        }
        let holds = schedule(seed, self.request.strategy, &self.space);
        let kept = Schedule {
            seed: Some(seed),
            strategy: Some(self.request.strategy),
            holds: holds.clone(),
            before,
            digest: verdict.facts.digest.clone(),
            made_of: self.sessions.made_of().clone(),
        };
        super::evidence::write(&self.request.folder.join(&run), &kept)?;
        let result = SeedResult {
            seed,
            verdict: if verdict.verdict == Outcome::Passed { Outcome::Failed } else { verdict.verdict },
            broken: verdict.breaches.iter().map(|b| b.invariant.name().to_owned()).collect(),
            reason: verdict.reason.clone().or_else(|| Some("the update did not do what it was to do".into())),
            holds: holds.len() as u64,
            begun: counts.begun,
            satisfied: counts.satisfied,
            update_ms: counts.update_ms,
            run: Some(run),
        };
        if result.has_failed() && self.request.stop_on_first {
            self.stop(End::Failure);
        }
        if !result.is_judged() && self.rig_errors.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_RIG_ERRORS {
            self.stop(End::Rig(result.reason.clone().unwrap_or_default()));
        }
        self.add(result)
    }

    fn add(&self, result: SeedResult) -> Result<(), Trouble> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.add(result)?;
        self.view.show(&results.done, self.sessions.orders());
        Ok(())
    }
}
