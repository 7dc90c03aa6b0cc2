//! What the subjects need: modules in the guest, and how each is observed.

use super::backend::Bridge;
use super::guest_files::{own_modules, stem};
use super::load_modules;
use crate::scenario::{Scenario, Shape, Subject};
use crate::symbols::{KmodPlan, ModuleSymbols, Observation, SubjectError, Symbols, observe_any};
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A module that the agent loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestModule {
    /// File name without `.ko`.
    pub(crate) name: String,
    /// Parameters, as for insmod.
    pub(crate) parameters: String,
}

impl GuestModule {
    fn of(file: &Path, parameters: &str) -> Self {
        Self { name: stem(file), parameters: parameters.into() }
    }
}

/// How the subject is observed.
#[derive(Clone, Debug)]
pub(crate) enum ObservationSource {
    /// By the kernel's symbols.
    InTree,
    /// By those of this module file, too.
    Kmod(PathBuf),
    /// By itself: the module reports to the emulator through the shim.
    Itself,
}

/// What a subject brings into the guest.
#[derive(Clone, Debug)]
pub(crate) struct Provided {
    /// Module files for the initramfs.
    pub(crate) files: Vec<PathBuf>,
    /// What the agent loads, in order.
    pub(crate) modules: Vec<GuestModule>,
    /// How it is observed.
    pub(crate) observed_by: ObservationSource,
    /// What a driver that is built in is told on the kernel's command line.
    pub(crate) kernel_arguments: &'static str,
}

/// What brings the subject into the guest, and shows it there.
#[derive(Clone, Debug)]
pub(crate) struct SubjectParts {
    /// The kernel's symbols.
    pub(crate) symbols: Arc<Symbols>,
    /// What is watched.
    pub(crate) observation: Observation,
    /// Modules that the agent loads, in order.
    pub(crate) modules: Vec<GuestModule>,
    /// How to find what is watched in the subject's module once it is loaded; none: it is all in the kernel.
    pub(crate) kmod_plan: Option<KmodPlan>,
}

/// Folder of the subject's attributes in the guest.
pub(crate) fn attributes(subject: Subject) -> &'static str {
    match subject {
        Subject::InTree => "/sys/devices/faux/tdx_host",
        Subject::Kmod => "/sys/devices/tdx_update",
    }
}

/// Whether a module, by its file's name, is the code under test, and not one that it or a load needs.
pub(crate) fn is_subject(module: &str) -> bool {
    ["tdx-host", "tdx_update", "tdx_update_twins"].contains(&module)
}

/// Finds or builds the subject's modules, and those that the loads need: the agent loads these when it starts the loads.
pub(crate) fn provide(
    images: &Images,
    scenario: &Scenario,
    kernel: &Kernel,
    bridge: Bridge,
) -> Result<Provided, Trouble> {
    let mut provided = match (scenario.subject, bridge) {
        (Subject::InTree, _) => in_tree(kernel)?,
        (Subject::Kmod, Bridge::Plugin) => kmod(images, scenario, kernel)?,
        (Subject::Kmod, Bridge::Mailbox) => behind_shim(images, scenario, kernel)?,
    };
    if scenario.tds.is_some() {
        add_kvm(kernel, &mut provided)?;
    }
    provided.files.extend(own_modules(images, kernel, &load_modules::modules(&scenario.load))?);
    Ok(provided)
}

/// KVM with its support of trust domains, for scenarios that have some.
fn add_kvm(kernel: &Kernel, provided: &mut Provided) -> Result<(), ImagesError> {
    let files = kernel.driver_order("kvm-intel", "CONFIG_KVM_INTEL")?;
    if files.is_empty() {
        provided.kernel_arguments = "kvm_intel.tdx=1";
    }
    for file in files {
        let parameters = if stem(&file) == "kvm-intel" { "tdx=1" } else { "" };
        provided.modules.push(GuestModule::of(&file, parameters));
        provided.files.push(file);
    }
    Ok(())
}

/// A kernel may have the driver built in; then there is nothing to load. Nobody knows of an image that has neither a
/// configuration nor modules beside it: whether it offers an update is seen when it runs.
fn in_tree(kernel: &Kernel) -> Result<Provided, ImagesError> {
    let is_unknown = kernel.config.is_none() && kernel.modules.is_empty();
    let files = if is_unknown { Vec::new() } else { kernel.driver_order("tdx-host", "CONFIG_TDX_HOST_SERVICES")? };
    let modules = files.iter().map(|file| GuestModule::of(file, "")).collect();
    Ok(Provided { files, modules, observed_by: ObservationSource::InTree, kernel_arguments: "" })
}

fn update_module(scenario: &Scenario) -> &'static str {
    if scenario.twin.is_some() { "tdx_update_twins" } else { "tdx_update" }
}

/// The shim, and the update module behind it.
fn behind_shim(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let files = own_modules(images, kernel, &["seam_shim", update_module(scenario)])?;
    let modules = vec![GuestModule::of(&files[0], ""), GuestModule::of(&files[1], &parameters(scenario))];
    Ok(Provided { files, modules, observed_by: ObservationSource::Itself, kernel_arguments: "" })
}

/// The update module, and KVM before it where only that enters VMX operation.
fn kmod(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let file = own_modules(images, kernel, &[update_module(scenario)])?.remove(0);
    let mut files = if needs_kvm(kernel) { kernel.load_order("kvm_intel")? } else { Vec::new() };
    let mut modules: Vec<_> = files.iter().map(|file| GuestModule::of(file, "")).collect();
    files.push(file.clone());
    modules.push(GuestModule::of(&file, &parameters(scenario)));
    Ok(Provided { files, modules, observed_by: ObservationSource::Kmod(file), kernel_arguments: "" })
}

/// Since Linux 6.19 only KVM can enter VMX operation, where the kernel has no TDX host support of its own
/// (`guest-kmod/bringup.h`).
fn needs_kvm(kernel: &Kernel) -> bool {
    let mut numbers = kernel.release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    release >= (6, 19) && !kernel.is_configured("CONFIG_INTEL_TDX_HOST=y") && kernel.module("kvm_intel").is_some()
}

fn parameters(scenario: &Scenario) -> String {
    let ack = scenario.ack.map(|ack| format!("ack={}", ack.parameter()));
    let twin = scenario.twin.map(|twin| format!("twin={}", twin.parameter()));
    let engine = scenario.engine.map(|engine| format!("engine={}", engine.parameter()));
    let more = Some(&scenario.module_parameters).filter(|more| !more.is_empty()).cloned();
    [ack, engine, twin, more].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl ObservationSource {
    /// What to watch, and a plan to locate what is known only when the module is loaded.
    pub(crate) fn observe(
        &self,
        symbols: &Symbols,
        shape: Option<&Shape>,
    ) -> Result<(Observation, Option<KmodPlan>), Trouble> {
        let refuse = |help: &'static str| move |e: SubjectError| Trouble::usage(e.to_string(), help);
        match self {
            Self::InTree => {
                let help = "take a kernel that is configured with images/kernels/tdx-host.config, or name its parts with --shape";
                Ok((observe_any(symbols, shape).map_err(refuse(help))?, None))
            }
            Self::Kmod(file) => {
                let help = "take a kernel with its complete System.map or vmlinux";
                let plan = KmodPlan::new(symbols, ModuleSymbols::load(file)?).map_err(refuse(help))?;
                Ok((plan.observation.clone(), Some(plan)))
            }
            Self::Itself => Ok((KmodPlan::reported_by_module(), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Ack, Engine, Twin};

    fn kernel(config: &Path, modules: &[&str]) -> Kernel {
        Kernel {
            bzimage: "/k/bzImage".into(),
            system_map: None,
            vmlinux: None,
            modules: modules.iter().map(PathBuf::from).collect(),
            release: "7.3.4".into(),
            config: Some(config.to_owned()),
            tree: None,
        }
    }

    #[test]
    fn drivers_that_are_built_in_are_not_loaded_and_kvm_is_told_of_trust_domains() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".config");
        std::fs::write(&config, "CONFIG_TDX_HOST_SERVICES=y\nCONFIG_KVM_INTEL=y\n").unwrap();
        let built_in = kernel(&config, &["/k/other.ko"]);
        let mut provided = in_tree(&built_in).unwrap();
        add_kvm(&built_in, &mut provided).unwrap();
        assert_eq!((provided.modules.len(), provided.kernel_arguments), (0, "kvm_intel.tdx=1"));
        std::fs::write(&config, "CONFIG_TDX_HOST_SERVICES=m\n").unwrap();
        for modules in [&["/k/other.ko"][..], &[]] {
            let said = in_tree(&kernel(&config, modules)).unwrap_err().to_string();
            assert!(said.contains("has no module tdx-host"), "{said}");
        }
    }

    #[test]
    fn the_module_gets_the_parameters_of_the_scenario() {
        let kmod = Scenario { subject: Subject::Kmod, ..Scenario::default() };
        assert_eq!(parameters(&kmod), "");
        assert_eq!(parameters(&Scenario { ack: Some(Ack::Atomic), ..kmod.clone() }), "ack=atomic");
        let engine = Scenario { engine: Some(Engine::StopMachine), ..kmod.clone() };
        assert_eq!(parameters(&engine), "engine=stop_machine");
        let twin = Scenario { ack: Some(Ack::Lock), twin: Some(Twin::LateReset), ..kmod };
        assert_eq!(parameters(&twin), "ack=lock twin=late-reset");
    }
}
