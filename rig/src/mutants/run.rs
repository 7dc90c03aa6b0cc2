//! Builds and runs the mutants: one is built while those before it run.

use super::build::Builder;
use super::key::Common;
use super::store::Store;
use super::{Judgement, Mutant, Record, Report, explanations, target};
use crate::run::{self, Interrupts};
use crate::scenario::Scenario;
use crate::trouble::{Exit, Trouble};
use rig_images::{Compiled, Images, KernelRequest, Progress};
use rig_judge::{Outcome, Verdict};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of kernels, results and evidence.
    pub out: PathBuf,
    /// Only mutants whose identity has this in it.
    pub only: Option<String>,
    /// Machines at once.
    pub jobs: NonZeroUsize,
}

impl Request {
    fn kernels(&self) -> PathBuf {
        self.out.join("kernels")
    }
}

/// CPU time that QEMU may use without progress of the guest, seconds: mutants hang often, and on four CPUs nothing takes that long.
const STALL_CPU_S: u32 = 3;

/// A mutant that is built.
struct Job<'m> {
    mutant: &'m Mutant,
    key: String,
    object: String,
    kernel: PathBuf,
}

/// What all threads write to.
struct Ledger {
    store: Store,
    step: rig_images::Step,
    /// The first trouble; it ends everything.
    trouble: Option<Trouble>,
}

/// One command under way.
struct Session<'a> {
    request: &'a Request,
    originals: BTreeMap<String, String>,
    ledger: Mutex<Ledger>,
    interrupts: Interrupts,
    progress: &'a Progress,
}

/// Judges all mutants that are asked for and not known yet.
pub fn run(request: &Request, progress: &Progress) -> Result<Report, Trouble> {
    let images = Images::open(progress.clone())?;
    let common = Common::of(&images)?;
    let originals = originals(&images)?;
    let mutants = chosen(&originals, request.only.as_deref())?;
    let session = Session::open(request, originals, mutants.len(), progress)?;
    session.check_unmodified(&images, &common)?;
    session.judge_all(&mut Builder::new(&images, request.kernels())?, &common, &mutants)?;
    session.report(&common, &mutants)
}

/// Builds the kernels of all mutants that are asked for, and runs none.
pub fn build(request: &Request, progress: &Progress) -> Result<(), Trouble> {
    let images = Images::open(progress.clone())?;
    let originals = originals(&images)?;
    let mutants = chosen(&originals, request.only.as_deref())?;
    let session = Session::open(request, originals, mutants.len(), progress)?;
    session.build_all(&mut Builder::new(&images, request.kernels())?, &mutants)
}

/// The unmodified files with a target in them, by path.
fn originals(images: &Images) -> Result<BTreeMap<String, String>, Trouble> {
    let text = |file: &str| Ok((file.to_owned(), images.kernel_source(file)?));
    target::files().into_iter().map(text).collect()
}

/// The mutants that are asked for.
fn chosen(originals: &BTreeMap<String, String>, only: Option<&str>) -> Result<Vec<Mutant>, Trouble> {
    let mut mutants = target::mutants(|file| Ok(originals[file].clone()))?;
    mutants.retain(|mutant| only.is_none_or(|only| mutant.identity().contains(only)));
    if mutants.is_empty() {
        let cause = format!("no mutant has \"{}\" in its name", only.unwrap_or_default());
        return Err(Trouble::usage(cause, "`cargo rig mutants --list` shows the names"));
    }
    Ok(mutants)
}

impl<'a> Session<'a> {
    fn open(
        request: &'a Request,
        originals: BTreeMap<String, String>,
        mutants: usize,
        progress: &'a Progress,
    ) -> Result<Self, Trouble> {
        let interrupts = Interrupts::listen().map_err(|e| {
            Trouble::environment(format!("cannot listen to signals: {e}"), "report this with the message above")
        })?;
        std::fs::create_dir_all(&request.out).map_err(|e| Trouble::file("make", &request.out, &e))?;
        let store = Store::open(&request.out.join("results.jsonl"))?;
        let step = progress.step("mutants", mutants as u64);
        let ledger = Mutex::new(Ledger { store, step, trouble: None });
        Ok(Self { request, originals, ledger, interrupts, progress })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics with this lock")
    }

    /// Whether nothing new is to be begun.
    fn is_over(&self) -> bool {
        self.interrupts.happened() || self.ledger().trouble.is_some()
    }

    fn build_all(&self, builder: &mut Builder<'_>, mutants: &[Mutant]) -> Result<(), Trouble> {
        let mut objects = self.original_objects(builder)?;
        for mutant in mutants.iter().take_while(|_| !self.is_over()) {
            if let Compiled::Object(object) = builder.compile(&mutant.file, &mutant.source)?
                && objects.insert(object, None).is_none()
            {
                builder.link(mutant)?;
            }
            self.ledger().step.tick(&mutant.identity());
        }
        Ok(())
    }

    /// Objects of the unmodified source.
    fn original_objects(&self, builder: &mut Builder<'_>) -> Result<BTreeMap<String, Option<String>>, Trouble> {
        let mut objects = BTreeMap::new();
        for (file, text) in &self.originals {
            match builder.compile(file, text)? {
                Compiled::Object(object) => objects.insert(object, None),
                Compiled::Refused(error) => {
                    let cause = format!("the unmodified {file} does not compile: {error}");
                    return Err(Trouble::environment(
                        cause,
                        "remove the kernel's entries with `cargo rig images clean`",
                    ));
                }
            };
        }
        Ok(objects)
    }

    /// A scenario that does not pass on the kernel as it is says nothing of a mutant.
    fn check_unmodified(&self, images: &Images, common: &Common) -> Result<(), Trouble> {
        const UNMODIFIED: &str = "unmodified";
        let key = common.of_unmodified()?;
        if self.ledger().store.known(UNMODIFIED, &key).is_some() {
            return Ok(());
        }
        let kernel = images.kernel(&KernelRequest::default())?.bzimage;
        let step = self.progress.step("the unmodified kernel", 0);
        let judgement = self.judge(UNMODIFIED, &kernel, target::all_scenarios()?);
        step.done();
        let Judgement::Passed { .. } = judgement else {
            let cause = format!("the unmodified kernel does not pass: {judgement:?}");
            return Err(Trouble::environment(
                cause,
                "run that scenario by itself; without it nothing can be said of a mutant",
            ));
        };
        let mutant = Mutant {
            file: String::new(),
            function: UNMODIFIED.into(),
            rule: super::Rule::DeleteStatement,
            line: 0,
            number: 1,
            before: String::new(),
            after: String::new(),
            source: String::new(),
        };
        let mut record = Record::new(&mutant, "", key, None, judgement);
        UNMODIFIED.clone_into(&mut record.mutant);
        self.ledger().store.add(record)
    }

    fn judge_all(&self, builder: &mut Builder<'_>, common: &Common, mutants: &[Mutant]) -> Result<(), Trouble> {
        let (send, receive) = sync_channel(0);
        let receive = Arc::new(Mutex::new(receive));
        thread::scope(|scope| {
            for _ in 0..self.request.jobs.get() {
                let receive = Arc::clone(&receive);
                scope.spawn(move || self.work(&receive));
            }
            // The workers alone have it now: when all have ended, sending fails and does not wait.
            drop(receive);
            let built = self.build_for(builder, common, mutants, |job| {
                // Workers end when there is trouble, which is reported below.
                let _ = send.send(job);
            });
            drop(send);
            built
        })?;
        self.ledger().trouble.take().map_or(Ok(()), Err)
    }

    /// Builds one mutant after the other, as far as each has to be run.
    fn build_for<'m>(
        &self,
        builder: &mut Builder<'_>,
        common: &Common,
        mutants: &'m [Mutant],
        mut run: impl FnMut(Job<'m>),
    ) -> Result<(), Trouble> {
        let mut objects = self.original_objects(builder)?;
        for mutant in mutants {
            if self.is_over() {
                break;
            }
            let key = common.of_mutant(mutant)?;
            let object = match builder.compile(&mutant.file, &mutant.source)? {
                Compiled::Object(object) => object,
                Compiled::Refused(error) => {
                    self.add(mutant, key, None, Judgement::Uncompiled { error })?;
                    continue;
                }
            };
            if let Some(other) = objects.get(&object) {
                let judgement = Judgement::SameCode { of: other.clone() };
                self.add(mutant, key, Some(object), judgement)?;
                continue;
            }
            objects.insert(object.clone(), Some(mutant.identity()));
            let is_run = |record: &Record| !matches!(record.judgement, Judgement::SameCode { .. });
            if self.ledger().store.known(&mutant.identity(), &key).is_some_and(is_run) {
                self.ledger().step.tick(&mutant.identity());
                continue;
            }
            let kernel = builder.link(mutant)?;
            run(Job { mutant, key, object, kernel });
        }
        Ok(())
    }

    fn work(&self, jobs: &Mutex<Receiver<Job<'_>>>) {
        loop {
            let job = jobs.lock().expect("nobody panics with this lock").recv();
            let Ok(Job { mutant, key, object, kernel }) = job else { return };
            if self.is_over() {
                return;
            }
            let added = target::scenarios(&mutant.function).and_then(|scenarios| {
                let judgement = self.judge(&mutant.identity(), &kernel, scenarios);
                // A run that was interrupted says nothing.
                if self.interrupts.happened() { Ok(()) } else { self.add(mutant, key, Some(object), judgement) }
            });
            if let Err(trouble) = added {
                self.ledger().trouble.get_or_insert(trouble);
                return;
            }
        }
    }

    /// Keeps what came of a mutant, unless it is known.
    fn add(&self, mutant: &Mutant, key: String, object: Option<String>, judgement: Judgement) -> Result<(), Trouble> {
        let original = &self.originals[&mutant.file];
        let record = Record::new(mutant, original, key, object, judgement);
        let mut ledger = self.ledger();
        ledger.step.tick(&record.mutant);
        if ledger.store.known(&record.mutant, &record.key) == Some(&record) { Ok(()) } else { ledger.store.add(record) }
    }

    /// Runs the scenarios until one notices.
    fn judge(&self, name: &str, kernel: &Path, scenarios: Vec<Scenario>) -> Judgement {
        let mut passed = Vec::new();
        for mut scenario in scenarios {
            let name_of = scenario.name.clone();
            scenario.kernel = Some(kernel.to_owned());
            scenario.budget.stall_cpu_s.get_or_insert(STALL_CPU_S);
            let folder = self.request.out.join("runs").join(name.replace(':', "-")).join(&name_of);
            match judgement(name_of, run::run_anew(scenario, &folder)) {
                Judgement::Passed { scenarios } => passed.extend(scenarios),
                other => return other,
            }
            // What passed has nothing to show.
            let _ = std::fs::remove_dir_all(&folder);
        }
        Judgement::Passed { scenarios: passed }
    }

    fn report(&self, common: &Common, mutants: &[Mutant]) -> Result<Report, Trouble> {
        let ledger = self.ledger();
        let mut records = Vec::new();
        for mutant in mutants {
            let (identity, key) = (mutant.identity(), common.of_mutant(mutant)?);
            records.extend(ledger.store.latest(&identity, &key).cloned());
        }
        let left = mutants.len() - records.len();
        let is_chosen = |mutant: &str| self.request.only.as_deref().is_none_or(|only| mutant.contains(only));
        Ok(Report::new(records, &explanations()?, left, is_chosen))
    }
}

/// What a run says of a mutant.
fn judgement(scenario: String, verdict: Result<Verdict, Trouble>) -> Judgement {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        // A kernel that was given and is none that the rig can judge is the caller's fault.
        Err(trouble) if trouble.exit == Exit::Usage => return Judgement::Refused { scenario, reason: trouble.cause },
        Err(trouble) => return Judgement::Unjudged { scenario, reason: trouble.cause },
    };
    match verdict.verdict {
        outcome if verdict.exit_code == 0 && outcome != Outcome::Skipped => {
            Judgement::Passed { scenarios: vec![scenario] }
        }
        outcome @ (Outcome::Failed | Outcome::Xpass | Outcome::Hung | Outcome::GuestCrashed) => {
            Judgement::Caught { scenario, outcome, by: verdict.unmet(), reason: verdict.reason }
        }
        _ => Judgement::Unjudged { scenario, reason: verdict.reason.unwrap_or_default() },
    }
}
