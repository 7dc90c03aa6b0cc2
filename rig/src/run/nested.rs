//! KVM where there is none: scenarios run by this very rig inside a virtual machine whose processor TCG emulates with AMD's
//! virtualisation. What runs in there are real guests of a real KVM.
//!
//! The outer machine has the host's files, read-only, with all changes in its own memory: the rig, its cache and QEMU are shared
//! and not copied.

use super::folder::RunFolder;
use super::prepare::Options;
use super::subject;
use crate::guest::{Guest, GuestError};
use crate::machine::command::{GUESSED_HZ, MachineSpec, MachineStart, Processor, Share};
use crate::machine::sockets::RuntimeDir;
use crate::machine::{Machine, tsc};
use crate::scenario::{Nested, Scenario};
use crate::trouble::Trouble;
use rig_images::{Images, Kernel, KernelRequest, Progress};
use rig_judge::verdict::{Backend, Check, Timing};
use rig_judge::{Facts, Judge, RunEnd, Setup, SubjectNames, Verdict, report};
use rig_wire::agent::{Answer, Command, Executed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The outer machine: more vCPUs than host cores would only wait for one another.
const CPUS: u32 = 2;
/// Its memory, MiB: guests of half a GiB, their snapshots, and what is read of the host's files.
const MEMORY_MIB: u32 = 3584;
/// What the outer kernel loads, in this order, each with what it needs.
const MODULES: [&str; 4] = ["9pnet_virtio", "9p", "overlay", "kvm_amd"];
/// Name of the shared files.
const TAG: &str = "host";
/// The cache in there: what the host's has finished, and whatever is made beside it. What the host makes meanwhile is not seen,
/// nor are its machines' states.
const CACHE: &str = "/var/seamrig-cache";
const LINK: &str = "mkdir -p \"$2/entries\" && for entry in \"$1\"/entries/*; do
    case $entry in */snapshot-*|*/initramfs-*) ;; *) ln -s \"$entry\" \"$2/entries/\" || exit;; esac
done";
/// Bounds: on the outer boot, and on each program in there.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
const PROGRAM_LIMIT: Duration = Duration::from_secs(400);

/// What is needed before the outer machine starts.
struct Outer {
    folder: RunFolder,
    runtime: RuntimeDir,
    spec: MachineSpec,
    qemu: std::process::Command,
    modules: Vec<PathBuf>,
    /// Release of its kernel.
    release: String,
    /// The host's cache.
    cache: PathBuf,
    /// Begins each command line in there.
    rig: Vec<String>,
}

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
        backend: Backend { name: "kvm".into(), reason: "in a virtual machine whose AMD processor TCG emulates".into() },
        subject: "kmod".into(),
        clock: "parallel".into(),
        timing_ms: Timing { boot: ms(boot), update: 0, machine: 0, total: ms(total.elapsed()) },
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

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Makes on the host all that the runs inside need, so that nothing is built in there.
fn prepare(images: &Images, scenario: &Scenario, nested: &Nested, options: &Options) -> Result<Outer, Trouble> {
    let folder = RunFolder::create(options.out.as_deref(), &scenario.name)?;
    let (root, agent) = (images.tool_root()?, images.agent()?);
    let inner = images.kernel(&KernelRequest::default())?;
    subject::own_modules(images, &inner, &["seam_shim"])?;
    for inner in &nested.scenarios {
        let text = toml::to_string_pretty(inner).expect("a scenario is plain data");
        folder.write(&format!("{}.toml", inner.name), text)?;
    }
    let kernel = images.debian_kernel(nested.kernel.parse()?)?;
    let modules = modules(&kernel)?;
    let runtime = RuntimeDir::create()?;
    let spec = MachineSpec {
        processor: Processor::Svm,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        kernel: kernel.bzimage.clone(),
        initramfs: subject::initramfs(images, &kernel, &modules, Vec::new(), None)?,
        kernel_arguments: String::new(),
        plugin: None,
        mailbox: None,
        share: Some(Share { folder: "/".into(), tag: TAG.into() }),
        console: folder.file("console.log"),
        hz: kernel.hz().unwrap_or(GUESSED_HZ),
        tsc_khz: tsc::khz(),
        start: MachineStart::Boot,
        deterministic: false,
        monitored: true,
    };
    let cache = std::path::absolute(images.cache_folder()).unwrap_or_else(|_| images.cache_folder());
    let rig = own_command(&agent)?;
    let release = kernel.release;
    Ok(Outer { folder, runtime, release, spec, qemu: root.qemu_command(), modules, cache, rig })
}

fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>, Trouble> {
    let mut modules = Vec::new();
    for name in MODULES {
        let order = kernel.load_order(name)?;
        modules.extend(order.into_iter().filter(|file| !modules.contains(file)).collect::<Vec<_>>());
    }
    Ok(modules)
}

/// This program with a cache of its own and with the parts that were built here.
fn own_command(agent: &Path) -> Result<Vec<String>, Trouble> {
    let help = "start the rig from a folder that is still there";
    let own = std::env::current_exe();
    let own = own.map_err(|e| Trouble::environment(format!("cannot find the rig's own program: {e}"), help))?;
    let parts = agent.parent().expect("a file lies in a folder");
    let set = |name: &str, path: &Path| format!("{name}={}", path.display());
    let search = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin:/usr/sbin:/sbin".into());
    let fixed = ["-i".to_owned(), format!("PATH={search}"), "HOME=/root".into()];
    let paths =
        [set(rig_images::CACHE_VARIABLE, Path::new(CACHE)), set(rig_images::PARTS, parts), own.display().to_string()];
    Ok(fixed.into_iter().chain(paths).collect())
}

async fn conduct(outer: &Outer, nested: &Nested, progress: &Progress) -> Result<(Duration, Vec<Check>), Trouble> {
    let started = Instant::now();
    progress.say("booting the outer machine");
    let qemu = super::clone_command(&outer.qemu);
    let (_machine, agent) = Machine::start(qemu, &outer.spec, &outer.runtime, &outer.folder.file("qemu.log")).await?;
    let (kmsg, lines) = mpsc::unbounded_channel();
    tokio::spawn(keep(lines, outer.folder.file("kmsg.log")));
    let guest = Guest::new(agent, kmsg);
    let ready = timeout(BOOT_LIMIT, guest.ready()).await.map_err(|_| silent("does not boot", BOOT_LIMIT))?;
    ready.map_err(|e| gone(&e))?;
    for module in &outer.modules {
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        ask(&guest, Command::LoadModule { name, parameters: String::new() }).await?;
    }
    ask(&guest, Command::Enter { tag: TAG.into() }).await?;
    link_cache(outer, &guest).await?;
    let boot = started.elapsed();
    let mut checks = Vec::new();
    if nested.doctor {
        progress.say("rig doctor, inside");
        checks.push(doctor(&rig(outer, &guest, &["doctor", "--json"]).await?));
    }
    for scenario in &nested.scenarios {
        let began = Instant::now();
        let file = outer.folder.file(&format!("{}.toml", scenario.name)).display().to_string();
        let out = format!("/tmp/nested/{}", scenario.name);
        let start = if nested.warm.contains(&scenario.name) { [].as_slice() } else { &["--cold"] };
        let words = [&["run", &file, "--json", "--out", &out], start].concat();
        let executed = rig(outer, &guest, &words).await?;
        outer.folder.write(&format!("{}.json", scenario.name), &executed.stdout)?;
        outer.folder.write(&format!("{}.log", scenario.name), &executed.stderr)?;
        let check = judged(&scenario.name, &executed);
        progress.say(&format!("{}: {}, {:.1} s", check.name, check.seen, began.elapsed().as_secs_f64()));
        checks.push(check);
    }
    // It has no file system of its own that would suffer.
    Ok((boot, checks))
}

async fn link_cache(outer: &Outer, guest: &Guest) -> Result<(), Trouble> {
    let words = ["-c", LINK, "sh", &outer.cache.display().to_string(), CACHE].map(str::to_owned);
    let command = Command::Execute { program: "/bin/sh".into(), arguments: words.to_vec() };
    match ask(guest, command).await? {
        Answer::Executed(Executed { code: 0, .. }) => Ok(()),
        Answer::Executed(failed) => {
            let why = String::from_utf8_lossy(&failed.stderr).lines().last().unwrap_or_default().to_owned();
            let help = "read console.log in the run folder";
            Err(Trouble::environment(format!("the cache cannot be seen in the outer machine: {why}"), help))
        }
        other => Err(gone(&GuestError::Unexpected(Box::new(other)))),
    }
}

/// The outer kernel's log, for the evidence.
async fn keep(mut lines: mpsc::UnboundedReceiver<String>, path: PathBuf) {
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        text += &line;
        text.push('\n');
    }
    // The evidence is a help, not the outcome.
    let _ = tokio::fs::write(path, text).await;
}

async fn rig(outer: &Outer, guest: &Guest, arguments: &[&str]) -> Result<Executed, Trouble> {
    let arguments = outer.rig.iter().cloned().chain(arguments.iter().map(|word| (*word).to_owned())).collect();
    let command = Command::Execute { program: "/usr/bin/env".into(), arguments };
    match ask(guest, command).await? {
        Answer::Executed(executed) => Ok(executed),
        other => Err(gone(&GuestError::Unexpected(Box::new(other)))),
    }
}

async fn ask(guest: &Guest, command: Command) -> Result<Answer, Trouble> {
    let answer = timeout(PROGRAM_LIMIT, guest.request(command)).await;
    answer.map_err(|_| silent("does not answer", PROGRAM_LIMIT))?.map_err(|e| gone(&e))
}

fn gone(error: &GuestError) -> Trouble {
    Trouble::environment(format!("the outer machine: {error}"), "read console.log and qemu.log in the run folder")
}

fn silent(what: &str, limit: Duration) -> Trouble {
    let cause = format!("the outer machine {what} within {} s", limit.as_secs());
    Trouble::environment(cause, "read console.log in the run folder; is the host overloaded?")
}

/// Whether the doctor in there finds a KVM that works.
fn doctor(executed: &Executed) -> Check {
    let said: Value = serde_json::from_slice(&executed.stdout).unwrap_or_default();
    let seen = said["backend"].as_str().unwrap_or("no answer").to_owned();
    Check { name: "rig doctor: backend".into(), met: seen == "kvm", expected: "kvm".into(), seen }
}

/// What a run in there came to; one that did not use KVM proves nothing.
fn judged(name: &str, executed: &Executed) -> Check {
    let verdict: Value = serde_json::from_slice(&executed.stdout).unwrap_or_default();
    let words = || String::from_utf8_lossy(&executed.stderr).lines().last().unwrap_or("it said nothing").to_owned();
    let outcome = verdict["verdict"].as_str().map_or_else(words, str::to_owned);
    let backend = verdict["backend"]["name"].as_str().unwrap_or("nothing");
    let reason = verdict["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    let (expected, seen) = ("passed on kvm".to_owned(), format!("{outcome} on {backend}{reason}"));
    Check { name: name.to_owned(), met: seen == expected, expected, seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(stdout: &str) -> Executed {
        Executed { code: 0, stdout: stdout.into(), stderr: b"error: no such thing\n".to_vec() }
    }

    #[test]
    fn only_a_pass_on_kvm_is_one() {
        let pass = r#"{"verdict":"passed","backend":{"name":"kvm"}}"#;
        assert!(judged("x", &ran(pass)).met);
        assert!(!judged("x", &ran(&pass.replace("kvm", "tcg"))).met);
        assert!(!judged("x", &ran(&pass.replace("passed", "failed"))).met);
        assert_eq!(judged("x", &ran("")).seen, "error: no such thing on nothing");
    }

    #[test]
    fn the_doctor_must_find_kvm() {
        assert!(doctor(&ran(r#"{"backend":"kvm"}"#)).met);
        assert!(!doctor(&ran(r#"{"backend":"tcg"}"#)).met && !doctor(&ran("")).met);
    }
}
