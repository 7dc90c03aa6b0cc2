//! The runs inside the outer machine, one after another, and the verdict on them.

use super::inner;
use super::outer::{CACHE, CPUS, Outer, TAG, prepare};
use super::running::Running;
use crate::milliseconds::milliseconds;
use crate::run::prepare::options::Options;
use crate::scenario::{Nested, Scenario};
use crate::trouble::Trouble;
use crate::version::rig_build;
use rig_images::{Images, Progress};
use rig_judge::verdict::{Backend, Check, Timing};
use rig_judge::{Facts, Judge, RunEnd, Setup, SubjectNames, Verdict, report};
use rig_wire::agent::{Command, Executed};
use std::time::{Duration, Instant};

/// Keeps guests of KVM off the first vCPU. QEMU's other vCPUs clear a flag of that one whenever they restore an x87
/// state (`cpu_clear_ignne()` of QEMU 11.1.3), without locking; in the same word are the global interrupt flag and the
/// one of nested paging. A change of these that is lost makes the host take an interrupt on the guest's GS base, or
/// walk its page tables through the guest's.
const TASKSET: &str = "/usr/bin/taskset";
const LINK: &str = "mkdir -p \"$2/entries\" && for entry in \"$1\"/entries/*; do
    case $entry in */snapshot-*|*/initramfs-*) ;; *) ln -s \"$entry\" \"$2/entries/\" || exit;; esac
done";

/// Runs the scenarios in a nest, one after another. Its verdict has a check for each.
pub fn run_nested(
    scenario: &Scenario,
    nested: &Nested,
    options: &Options,
    total: Instant,
    progress: &Progress,
) -> Result<Verdict, Trouble> {
    let images = Images::open(progress.clone())?;
    let outer = prepare(&images, scenario, nested, options)?;
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads =
        threads.map_err(|e| Trouble::environment(format!("cannot start threads: {e}"), "check `ulimit -a`"))?;
    let (boot, checks) = threads.block_on(conduct(&outer, nested, progress))?;
    let facts = Facts {
        scenario: scenario.name.clone(),
        cpus: u16::try_from(CPUS).unwrap_or(u16::MAX),
        kernel: Some(outer.release.clone()),
        rig: rig_build(),
        backend: Backend { name: "kvm".into(), reason: "in a virtual machine whose AMD processor TCG emulates".into() },
        subject: "kmod".into(),
        clock: "parallel".into(),
        timing_ms: Timing { boot: milliseconds(boot), update: 0, machine: 0, total: milliseconds(total.elapsed()) },
        run_dir: Some(outer.folder.path().to_owned()),
        checks,
        ..Facts::default()
    };
    let setup = Setup::new(0, SubjectNames::kmod(true));
    let findings = Judge::new(setup.clone()).finish(&RunEnd::Finished);
    let verdict = Verdict::new(facts, &findings, &RunEnd::Finished);
    let files = report::files(&setup, [], &[], &verdict);
    files.into_iter().try_for_each(|(name, bytes)| outer.folder.write(name, bytes))?;
    Ok(verdict)
}

async fn conduct(outer: &Outer, nested: &Nested, progress: &Progress) -> Result<(Duration, Vec<Check>), Trouble> {
    let started = Instant::now();
    progress.say("booting the outer machine");
    let running = Running::start(outer).await?;
    furnish(outer, &running).await?;
    let boot = started.elapsed();
    let mut checks = Vec::new();
    if nested.doctor {
        progress.say("rig doctor, inside");
        let said = rig(outer, &running, "running the doctor", &["doctor", "--json"]).await?;
        checks.push(inner::doctor(&said));
    }
    for scenario in &nested.scenarios {
        checks.extend(scene(outer, nested, scenario, &running, progress).await?);
    }
    running.end().await;
    Ok((boot, checks))
}

/// Brings in what the runs need: modules, files and the cache.
async fn furnish(outer: &Outer, running: &Running<'_>) -> Result<(), Trouble> {
    for module in &outer.modules {
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let doing = format!("loading {name}");
        running.ask(&doing, Command::LoadModule { name, parameters: String::new() }).await?;
    }
    running.ask("entering the host's files", Command::Enter { tag: TAG.into() }).await?;
    let words = ["-c", LINK, "sh", &outer.cache.display().to_string(), CACHE].map(str::to_owned);
    let linked = running.execute("linking the cache", "/bin/sh", words.to_vec()).await?;
    if linked.code == 0 {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&linked.stderr).lines().last().unwrap_or_default().to_owned();
    let help = "read console.log in the run folder";
    Err(Trouble::environment(format!("the cache cannot be seen in the outer machine: {why}"), help))
}

/// Runs one scenario in the outer machine. Where it did not end as it must, its evidence is copied out.
async fn scene(
    outer: &Outer,
    nested: &Nested,
    scenario: &Scenario,
    running: &Running<'_>,
    progress: &Progress,
) -> Result<Vec<Check>, Trouble> {
    let (name, began) = (&scenario.name, Instant::now());
    let file = outer.folder.file(&format!("{name}.toml")).display().to_string();
    let out = Running::evidence(name);
    let start = if nested.warm.contains(name) { [].as_slice() } else { &["--cold"] };
    let words = [&["run", &file, "--json", "--out", &out], start].concat();
    let executed = rig(outer, running, &format!("running {name}"), &words).await;
    let executed = match executed {
        Ok(executed) => executed,
        Err(trouble) => {
            running.bring(name).await?;
            return Err(trouble);
        }
    };
    outer.folder.write(&format!("{name}.json"), &executed.stdout)?;
    outer.folder.write(&format!("{name}.log"), &executed.stderr)?;
    let mut checks = vec![inner::judged(name, &executed)];
    checks.extend(nested.held.get(name).map(|demanded| inner::held(name, demanded, &executed)));
    progress.say(&format!("{name}: {}, {:.1} s", checks[0].seen, began.elapsed().as_secs_f64()));
    if !checks.iter().all(|check| check.met) {
        let folder = running.bring(name).await?;
        progress.say(&format!("{name}: what it left is in {}", folder.display()));
    }
    Ok(checks)
}

async fn rig(outer: &Outer, running: &Running<'_>, doing: &str, arguments: &[&str]) -> Result<Executed, Trouble> {
    let words = outer.rig.iter().cloned().chain(arguments.iter().map(|word| (*word).to_owned())).collect();
    running.execute(doing, TASKSET, words).await
}
