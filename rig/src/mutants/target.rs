//! What is changed, and which scenarios a change of it may show in.

use super::{Mutant, generate};
use crate::scenario::{Scenario, catalogue, from_text};
use crate::trouble::Trouble;
use include_dir::{Dir, include_dir};

const SEAMLDR: &str = "arch/x86/virt/vmx/tdx/seamldr.c";
const TDX: &str = "arch/x86/virt/vmx/tdx/tdx.c";

/// Scenarios that no suite has: each shows a kind of change that the catalogue does not show.
static OWN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/mutants/scenarios");

/// A function that is changed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Path in the kernel source.
    pub file: &'static str,
    /// Its name.
    pub function: &'static str,
    /// Scenarios that concern it, beside those of every function, in the order in which they are run.
    pub scenarios: &'static [&'static str],
}

/// What is run on every mutant, until one of them notices.
const EVERY: &[&str] = &["plain", "five-updates", "install-fails", "lp-init-fails", "update-fails", "shutdown-busy"];

/// Images that the kernel must refuse, or hand on unchanged.
const IMAGES: &[&str] = &[
    "mutants-largest-image",
    "bad-image-truncated",
    "bad-image-padded",
    "bad-image-version",
    "bad-image-magic",
    "bad-image-header-reserved",
    "bad-image-module-pages-too-many",
    "bad-image-module-pages-one-more",
    "bad-image-sigstruct-pages-two",
    "bad-image-sigstruct-pages-zero",
    "bad-image-module-pages-wrap",
    "bad-image-sigstruct-pages-wrap",
    "bad-image-no-module",
];

/// Many CPUs, and loads that stand in the way of a lock or need one.
const CROWDED: &[&str] = &[
    "shutdown-busy-retry",
    "mutants-late-look",
    "mutants-crowd",
    "mutants-crowd-busy",
    "hotplug-storm",
    "cpu-returns",
];

/// Scenarios with CPUs that go on and off line, and trust domains that run through updates.
const ENABLE: &[&str] =
    &["entropy-sys-init", "entropy-sys-init-gone", "mutants-lp-init-refused", "cpu-returns", "td-kvm", "cpu-offline"];

/// The operands of SHUTDOWN, and what it leaves behind.
const SHUTDOWN: &[&str] =
    &["mutants-handoff-unread", "handoff-too-new", "handoff-too-old", "cpu-returns", "td-kvm", "cpu-offline"];

/// What follows UPDATE.
const UPDATE: &[&str] = &["entropy-update", "mutants-version-unread", "cpu-returns", "td-kvm"];

/// All of them: what uploads, checks and installs an image, the state machine, and the steps that are the TDX module's.
pub const TARGETS: &[Target] = &[
    Target {
        file: SEAMLDR,
        function: "seamldr_call",
        scenarios: &["mutants-slow-loader", "entropy-seamldr", "erratum"],
    },
    Target { file: SEAMLDR, function: "seamldr_install", scenarios: &["entropy-seamldr"] },
    Target { file: SEAMLDR, function: "populate_pa_list", scenarios: IMAGES },
    Target { file: SEAMLDR, function: "populate_seamldr_params", scenarios: IMAGES },
    Target { file: SEAMLDR, function: "init_seamldr_params", scenarios: IMAGES },
    Target { file: SEAMLDR, function: "__set_target_state", scenarios: CROWDED },
    Target { file: SEAMLDR, function: "ack_state", scenarios: CROWDED },
    Target { file: SEAMLDR, function: "init_state", scenarios: CROWDED },
    Target { file: SEAMLDR, function: "do_seamldr_install_module", scenarios: CROWDED },
    Target {
        file: SEAMLDR,
        function: "seamldr_install_module",
        scenarios: &[
            "bad-image-truncated",
            "bad-image-bare-header",
            "mutants-refused-hotplug",
            "mutants-late-arrival",
            "cpu-arrival",
            "hotplug-storm",
        ],
    },
    Target { file: TDX, function: "tdx_cpu_enable", scenarios: ENABLE },
    Target { file: TDX, function: "tdx_module_shutdown", scenarios: SHUTDOWN },
    Target { file: TDX, function: "tdx_module_run_update", scenarios: UPDATE },
];

/// All mutants of all targets, with `source` giving the text of a file.
pub fn mutants(source: impl Fn(&str) -> Result<String, Trouble>) -> Result<Vec<Mutant>, Trouble> {
    let help = "the kernel's update code changed its form; name its functions in rig/src/mutants/target.rs";
    let mut mutants = Vec::new();
    for file in files() {
        let functions: Vec<&str> = TARGETS.iter().filter(|t| t.file == file).map(|t| t.function).collect();
        let made = generate(file, &source(file)?, &functions);
        mutants.extend(made.map_err(|error| Trouble::environment(error.to_string(), help))?);
    }
    Ok(mutants)
}

/// The files with a target in them.
pub(super) fn files() -> Vec<&'static str> {
    let mut files: Vec<&str> = TARGETS.iter().map(|target| target.file).collect();
    files.dedup();
    files
}

/// The scenarios for a change of this function, in order.
pub(super) fn scenarios(function: &str) -> Result<Vec<Scenario>, Trouble> {
    let own = TARGETS.iter().find(|target| target.function == function).map_or(&[][..], |target| target.scenarios);
    EVERY.iter().chain(own).map(|name| named(name)).collect()
}

/// All scenarios that any function has.
pub(super) fn all_scenarios() -> Result<Vec<Scenario>, Trouble> {
    let mut names: Vec<&str> =
        EVERY.iter().chain(TARGETS.iter().flat_map(|target| target.scenarios)).copied().collect();
    let mut known = std::collections::BTreeSet::new();
    names.retain(|name| known.insert(*name));
    names.into_iter().map(named).collect()
}

fn named(name: &str) -> Result<Scenario, Trouble> {
    match OWN.get_file(format!("{name}.toml")).and_then(include_dir::File::contents_utf8) {
        Some(text) => from_text(text, name),
        None => catalogue::named(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_is_there_and_needs_no_module_that_is_built_for_each_kernel() {
        for scenario in all_scenarios().unwrap() {
            let tree = [crate::scenario::Subject::InTree];
            assert!(tree.contains(&scenario.subject) && scenario.nested.is_none(), "{}", scenario.name);
        }
    }

    #[test]
    fn every_own_scenario_is_used_and_named_like_its_file() {
        let used: BTreeSet<String> = all_scenarios().unwrap().into_iter().map(|scenario| scenario.name).collect();
        for file in OWN.files() {
            let name = file.path().file_stem().unwrap().to_str().unwrap();
            assert!(used.contains(name), "{name}");
        }
    }

    #[test]
    fn a_function_is_a_target_once_and_scenarios_are_run_once() {
        let functions: BTreeSet<&str> = TARGETS.iter().map(|target| target.function).collect();
        assert_eq!(functions.len(), TARGETS.len());
        for function in functions {
            let names: Vec<String> = scenarios(function).unwrap().into_iter().map(|s| s.name).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{function}: {names:?}");
        }
    }

    #[test]
    fn a_kernel_without_a_target_is_an_error() {
        let trouble = mutants(|_| Ok("int other(void) { return 0; }".into())).unwrap_err();
        assert!(trouble.cause.contains("has no function seamldr_call"), "{trouble:?}");
    }
}
