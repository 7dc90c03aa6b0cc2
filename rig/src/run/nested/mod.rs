//! KVM where there is none: scenarios run by this very rig inside a virtual machine whose processor TCG emulates with AMD's
//! virtualisation. What runs in there are real guests of a real KVM.
//!
//! The outer machine has the host's files, read-only, with all changes in its own memory: the rig, its cache and QEMU are shared
//! and not copied.

mod inner;
mod lost;
mod outer;

use super::folder::RunFolder;
use super::prepare::Options;
use super::subject;
use crate::machine::command::{GUESSED_HZ, MachineSpec, MachineStart, Processor, Share};
use crate::machine::tsc;
use crate::scenario::{Nested, Scenario};
use crate::trouble::Trouble;
use outer::Running;
use rig_images::{Images, Kernel, KernelRequest, Progress};
use rig_judge::verdict::{Backend, Check, Timing};
use rig_judge::{Facts, Judge, RunEnd, Setup, SubjectNames, Verdict, report};
use rig_wire::agent::{Command, Executed};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// vCPUs of the outer machine: the first runs no guest of KVM, and more of the others than the host has cores would only wait for one
/// another.
const CPUS: u32 = 3;
/// Keeps guests of KVM off the first vCPU. QEMU's other vCPUs clear a flag of that one whenever they restore an x87 state
/// (`cpu_clear_ignne()` of QEMU 11.1.3), without locking; in the same word are the global interrupt flag and the one of nested paging. A change of
/// these that is lost makes the host take an interrupt on the guest's GS base, or walk its page tables through the guest's.
const TASKSET: &str = "/usr/bin/taskset";
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

/// What is needed before the outer machine starts.
struct Outer {
    folder: RunFolder,
    spec: MachineSpec,
    qemu: std::process::Command,
    modules: Vec<PathBuf>,
    /// Release of its kernel.
    release: String,
    /// The host's cache.
    cache: PathBuf,
    /// How each command line in there begins, for [`TASKSET`].
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
        rig: crate::version::rig_build(),
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
    let spec = MachineSpec {
        processor: Processor::Svm,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        kernel: kernel.bzimage.clone(),
        initramfs: subject::initramfs(images, &kernel, &modules, Vec::new(), None)?,
        kernel_arguments: scenario.kernel_arguments.clone(),
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
    Ok(Outer { folder, release, spec, qemu: root.qemu_command(), modules, cache, rig })
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
    let off_the_first = ["--cpu-list".to_owned(), format!("1-{}", CPUS - 1)];
    let clean = ["/usr/bin/env".to_owned(), "-i".into(), format!("PATH={search}"), "HOME=/root".into()];
    let paths =
        [set(rig_images::CACHE_VARIABLE, Path::new(CACHE)), set(rig_images::PARTS, parts), own.display().to_string()];
    Ok(off_the_first.into_iter().chain(clean).chain(paths).collect())
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

/// Runs one scenario in there. What it left is brought out where it did not come to what it must.
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
