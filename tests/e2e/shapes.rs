//! Kernels whose update has another shape than the rig knows.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_tests::{Rig, take_host};

const SEAMLDR: &str = "arch/x86/virt/vmx/tdx/seamldr.c";

const SHAPE: &str = r#"name = "renamed"
section = "do_seamldr_install_module"
code = ["seamldr_install_module", "ack_state", "init_state", "__set_target_state"]
[words]
state = "renamed_ctrl"
acknowledged = "renamed_ctrl+4"
failed = "renamed_ctrl+8"
"#;

/// A build tree of a kernel without `update_ctrl`, with more changes.
fn renamed(mut edits: Vec<SourceEdit>) -> String {
    edits.push(SourceEdit::regex(SEAMLDR, r"\bupdate_ctrl\b", "renamed_ctrl"));
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::edited(edits)).expect("the edited kernel builds");
    kernel.tree.expect("a built kernel has its tree").display().to_string()
}

/// Only a kernel with other names shows that it is judged by what can be seen, and says what cannot; and that naming its words
/// gives the whole judgement back.
#[test]
fn a_kernel_with_other_names_is_judged_by_what_can_be_seen() {
    let (_host, rig, kernel) = (take_host(), Rig::default(), renamed(Vec::new()));
    let verdict = rig.go(&["run", "--kernel", &kernel, "--json"]).json(0);
    for name in
        ["participation", "lead-only", "update-only", "interrupts-off", "serial-loader", "progress", "stable-cpus"]
    {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
    assert_eq!(verdict["invariants"]["lockstep"], "not-applicable", "{verdict:#}");
    assert!(verdict.to_string().contains("acknowledgements were not"), "{verdict:#}");
    let shape = rig.file("shape.toml", SHAPE);
    let verdict = rig.go(&["run", "--kernel", &kernel, "--json", "--shape", shape.to_str().unwrap()]).json(0);
    assert_eq!(verdict["invariants"]["lockstep"], "held", "{verdict:#}");
    rig.go(&["run", "--shape", "tdp-dat"]).expect(2).says(&["tdp-dat"]);
}

/// The twin: what breaks is found by SEAMCALLs alone.
#[test]
fn a_kernel_with_other_names_that_is_wrong_is_caught_by_its_seamcalls() {
    let _host = take_host();
    let every_cpu = SourceEdit::literal(SEAMLDR, "if (smp_processor_id() == 0)", "if (smp_processor_id() >= 0)");
    let kernel = renamed(vec![every_cpu]);
    let verdict = Rig::default().go(&["run", "--kernel", &kernel, "--json"]).json(1);
    assert_eq!(verdict["invariants"]["lead-only"], "broken", "{verdict:#}");
}
