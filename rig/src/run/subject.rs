//! What the subjects need: modules in the guest, and how each is observed.

use super::loads;
use crate::scenario::{Scenario, Subject};
use crate::symbols::{KmodPlan, ModuleSymbols, Observation, SubjectError, Symbols, observe_update};
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel};
use std::path::{Path, PathBuf};

/// The agent's list of modules to load before it looks for its port.
const BOOT_LIST: &str = "lib/modules/rig/boot";

/// A module that the agent loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestModule {
    /// File name without `.ko`.
    pub(crate) name: String,
    /// Parameters, as for insmod.
    pub(crate) parameters: String,
}

/// How the subject is observed.
#[derive(Clone, Debug)]
pub(super) enum Observer {
    /// By the kernel's symbols.
    InTree,
    /// By those of this module file, too.
    Kmod(PathBuf),
}

/// What a subject brings into the guest.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    /// Module files for the initramfs.
    pub(super) files: Vec<PathBuf>,
    /// What the agent loads, in order.
    pub(super) modules: Vec<GuestModule>,
    /// How it is observed.
    pub(super) observer: Observer,
}

/// Folder of the subject's attributes in the guest.
pub(super) fn attributes(subject: Subject) -> &'static str {
    match subject {
        Subject::InTree => "/sys/devices/faux/tdx_host",
        Subject::Kmod => "/sys/devices/tdx_update",
    }
}

/// Finds or builds the subject's modules, and those that the loads need: the agent loads these when it starts the loads.
pub(super) fn provide(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let mut provided = match scenario.subject {
        Subject::InTree => in_tree(kernel)?,
        Subject::Kmod => kmod(images, scenario, kernel)?,
    };
    if scenario.tds.is_some() {
        add_kvm(kernel, &mut provided)?;
    }
    for name in loads::modules(&scenario.load) {
        provided.files.push(own_module(images, kernel, name)?);
    }
    Ok(provided)
}

/// KVM with its support of trust domains, for scenarios that have some.
fn add_kvm(kernel: &Kernel, provided: &mut Provided) -> Result<(), ImagesError> {
    for file in kernel.load_order("kvm-intel")? {
        let name = stem(&file);
        let parameters = if name == "kvm-intel" { "tdx=1".into() } else { String::new() };
        provided.modules.push(GuestModule { name, parameters });
        provided.files.push(file);
    }
    Ok(())
}

/// A kernel may have the driver built in; then there is nothing to load.
fn in_tree(kernel: &Kernel) -> Result<Provided, ImagesError> {
    let files = if kernel.modules.is_empty() { Vec::new() } else { kernel.load_order("tdx-host")? };
    let modules = files.iter().map(|file| GuestModule { name: stem(file), parameters: String::new() }).collect();
    Ok(Provided { files, modules, observer: Observer::InTree })
}

/// The update module and what it stands on: the kernel's part of the firmware upload class may be a module itself.
fn kmod(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let name = if scenario.twin.is_some() { "tdx_update_twins" } else { "tdx_update" };
    let file = own_module(images, kernel, name)?;
    let mut files = if needs_kvm(kernel) { kernel.load_order("kvm_intel")? } else { Vec::new() };
    let mut modules: Vec<_> =
        files.iter().map(|file| GuestModule { name: stem(file), parameters: String::new() }).collect();
    files.push(file.clone());
    modules.push(GuestModule { name: name.into(), parameters: parameters(scenario) });
    Ok(Provided { files, modules, observer: Observer::Kmod(file) })
}

/// Since Linux 6.19 only KVM can enter VMX operation, where the kernel has no TDX host support of its own
/// (`guest-kmod/bringup.h`).
fn needs_kvm(kernel: &Kernel) -> bool {
    let config = kernel.config.as_deref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let enters = config.lines().any(|line| line == "CONFIG_INTEL_TDX_HOST=y");
    let mut numbers = kernel.release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    !enters && release >= (6, 19) && kernel.module("kvm_intel").is_some()
}

/// Modules without which the agent of this kernel reaches nobody, in the order of loading; none if they are built in.
pub(super) fn boot_modules(kernel: &Kernel) -> Result<Vec<PathBuf>, ImagesError> {
    let mut files = Vec::new();
    for name in ["virtio_pci", "virtio_console"] {
        if kernel.module(name).is_some() {
            files.extend(kernel.load_order(name)?.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
        }
    }
    Ok(files)
}

/// The initramfs with the agent, these modules, and those that it needs itself.
pub(super) fn initramfs(images: &Images, kernel: &Kernel, modules: &[PathBuf]) -> Result<PathBuf, ImagesError> {
    let boot = boot_modules(kernel)?;
    let list: String = boot.iter().map(|file| stem(file) + "\n").collect();
    let extra = if boot.is_empty() { Vec::new() } else { vec![(BOOT_LIST.to_owned(), list.into_bytes())] };
    images.initramfs(&images.agent()?, &[&boot, modules].concat(), &extra)
}

/// A module of guest-kmod, built for this kernel.
fn own_module(images: &Images, kernel: &Kernel, name: &str) -> Result<PathBuf, Trouble> {
    let sources =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").join("guest-kmod");
    let help = "remove the entry from the cache (`cargo rig images --clean`) and let the rig build it again";
    let missing = || Trouble::environment(format!("the build of guest-kmod has no {name}.ko"), help);
    images.build_modules(kernel, &sources)?.into_iter().find(|file| stem(file) == name).ok_or_else(missing)
}

fn parameters(scenario: &Scenario) -> String {
    let ack = scenario.ack.map(|ack| format!("ack={}", ack.parameter()));
    let twin = scenario.twin.map(|twin| format!("twin={}", twin.parameter()));
    let engine = scenario.engine.map(|engine| format!("engine={}", engine.parameter()));
    let more = Some(&scenario.module_parameters).filter(|more| !more.is_empty()).cloned();
    [ack, engine, twin, more].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

impl Observer {
    /// What to watch, and what is known of it only when the module is loaded.
    pub(super) fn observe(&self, symbols: &Symbols) -> Result<(Observation, Option<KmodPlan>), Trouble> {
        let refuse = |help: &'static str| move |e: SubjectError| Trouble::usage(e.to_string(), help);
        match self {
            Self::InTree => {
                let help = "take Linux 7.2 or later, configured with images/kernels/tdx-host.config";
                Ok((observe_update(symbols).map_err(refuse(help))?, None))
            }
            Self::Kmod(file) => {
                let help = "take a kernel with its complete System.map or vmlinux";
                let plan = KmodPlan::new(symbols, ModuleSymbols::load(file)?).map_err(refuse(help))?;
                Ok((plan.observation.clone(), Some(plan)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Ack, Engine, Twin};

    #[test]
    fn the_module_is_told_what_the_scenario_says() {
        let kmod = Scenario { subject: Subject::Kmod, ..Scenario::default() };
        assert_eq!(parameters(&kmod), "");
        assert_eq!(parameters(&Scenario { ack: Some(Ack::Atomic), ..kmod.clone() }), "ack=atomic");
        let engine = Scenario { engine: Some(Engine::StopMachine), ..kmod.clone() };
        assert_eq!(parameters(&engine), "engine=stop_machine");
        let twin = Scenario { ack: Some(Ack::Lock), twin: Some(Twin::LateReset), ..kmod };
        assert_eq!(parameters(&twin), "ack=lock twin=late-reset");
    }
}
