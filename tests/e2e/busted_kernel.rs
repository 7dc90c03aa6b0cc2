//! Kernels with one line changed: the judge must find each, by the invariant that the change breaks.

use rig_images::{Images, KernelRequest, Pattern, Progress, SourceEdit};
use rig_tests::{Rig, one_machine};
use std::path::PathBuf;

const SEAMLDR: &str = "arch/x86/virt/vmx/tdx/seamldr.c";

/// A build tree of the rig's kernel with one literal replaced.
fn tree(from: &str, to: &str) -> PathBuf {
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let edit = SourceEdit { file: SEAMLDR.into(), from: Pattern::Literal(from.into()), to: to.into() };
    let kernel = images.kernel(&KernelRequest::edited(vec![edit])).expect("the edited kernel builds");
    kernel.tree.expect("a built kernel has its tree")
}

/// Only a kernel whose state machine is wrong shows that the judge watches the state machine, and `--kernel` shows that a
/// developer's own build tree is taken as it is.
#[test]
fn a_state_that_advances_one_acknowledgement_early_breaks_lockstep() {
    let _machine = one_machine();
    let tree = tree("ctrl->num_ack == num_online_cpus() &&", "ctrl->num_ack == num_online_cpus() - 1 &&");
    let verdict = Rig::default().go(&["run", "--json", "--kernel", tree.to_str().unwrap()]).json(1);
    assert_eq!(verdict["verdict"], "failed", "{verdict:#}");
    assert_eq!(verdict["invariants"]["lockstep"], "broken", "{verdict:#}");
    let breaches = verdict["breaches"].as_array().unwrap();
    let lockstep = breaches.iter().find(|b| b["invariant"] == "lockstep").expect("the breach is described");
    assert!(lockstep["events"].as_array().is_some_and(|events| events.len() >= 2), "{lockstep:#}");
}
