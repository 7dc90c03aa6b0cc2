//! The outer machine before it is started, and all that the runs inside need.

use crate::machine::command::{GUESSED_HZ, MachineSpec, MachineStart, Processor, Share};
use crate::machine::tsc;
use crate::run::folder::RunFolder;
use crate::run::prepare::guest_files::{initramfs, own_modules};
use crate::run::prepare::options::Options;
use crate::scenario::{Nested, Scenario};
use crate::trouble::Trouble;
use rig_images::{Images, Kernel, KernelRequest};
use std::path::{Path, PathBuf};

/// vCPUs of the outer machine: the first runs no guest of KVM, and more of the others than the host has cores would
/// only wait for one another.
pub(super) const CPUS: u32 = 3;
/// Its memory, MiB: guests of half a GiB, their snapshots, and what is read of the host's files.
const MEMORY_MIB: u32 = 3584;
/// What the outer kernel loads, in this order, each with what it needs.
const MODULES: [&str; 4] = ["9pnet_virtio", "9p", "overlay", "kvm_amd"];
/// Name of the shared files.
pub(super) const TAG: &str = "host";
/// The cache in the outer machine: what the host's has finished, and whatever is made beside it. What the host makes
/// meanwhile is not in it, nor are its machines' states.
pub(super) const CACHE: &str = "/var/seamrig-cache";

/// What is needed before the outer machine starts.
pub(super) struct Outer {
    pub(super) folder: RunFolder,
    pub(super) spec: MachineSpec,
    pub(super) qemu: std::process::Command,
    pub(super) modules: Vec<PathBuf>,
    /// Release of its kernel.
    pub(super) release: String,
    /// The host's cache.
    pub(super) cache: PathBuf,
    /// How each command line in the outer machine begins, for `taskset`.
    pub(super) rig: Vec<String>,
}

/// Makes on the host all that the runs inside need, so that nothing is built in the outer machine.
pub(super) fn prepare(
    images: &Images,
    scenario: &Scenario,
    nested: &Nested,
    options: &Options,
) -> Result<Outer, Trouble> {
    let folder = RunFolder::create(options.out.as_deref(), &scenario.name)?;
    let (root, agent) = (images.tool_root()?, images.agent()?);
    let inner = images.kernel(&KernelRequest::default())?;
    own_modules(images, &inner, &["seam_shim"])?;
    for inner in &nested.scenarios {
        let text = inner.to_toml();
        folder.write(&format!("{}.toml", inner.name), text)?;
    }
    let kernel = images.debian_kernel(nested.kernel.parse()?)?;
    let modules = modules(&kernel)?;
    let spec = MachineSpec {
        processor: Processor::Svm,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        kernel: kernel.bzimage.clone(),
        initramfs: initramfs(images, &kernel, &modules, Vec::new(), None)?,
        kernel_arguments: scenario.kernel_arguments.clone(),
        plugin: None,
        mailbox: None,
        share: Some(Share { folder: "/".into(), tag: TAG.into() }),
        terminal: None,
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
