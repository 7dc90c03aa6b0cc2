//! Kernels with one line changed: the judge must find each, by the invariant that the change breaks.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_tests::{Finished, Rig, share_host, take_host};
use rstest::rstest;
use serde_json::Value;
use std::path::PathBuf;

const SEAMLDR: &str = "arch/x86/virt/vmx/tdx/seamldr.c";

/// Replaces literal text in the update's source.
pub(crate) fn literal(from: &str, to: &str) -> SourceEdit {
    SourceEdit::literal(SEAMLDR, from, to)
}

/// A build tree of the rig's kernel with these changes; only what they touch is compiled.
pub(crate) fn tree(edits: Vec<SourceEdit>) -> PathBuf {
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::edited(edits)).expect("the edited kernel builds");
    kernel.tree.expect("a built kernel has its tree")
}

/// A run of a kernel under a scenario, which needs no name; its folder is gone afterwards.
fn run(kernel: &std::path::Path, scenario: &str) -> Finished {
    let rig = Rig::default();
    let path = rig.file("scenario.toml", format!("name = \"busted\"\n{scenario}"));
    rig.go(&["run", path.to_str().unwrap(), "--json", "--kernel", kernel.to_str().unwrap()])
}

/// The run failed at `invariant` and at no other, and says which events show it. A change that stops the state machine breaks
/// `progress`, too.
fn assert_caught(verdict: &Value, invariant: &str) {
    assert_eq!(verdict["verdict"], "failed", "{verdict:#}");
    assert_eq!(verdict["invariants"][invariant], "broken", "{verdict:#}");
    let breaches = verdict["breaches"].as_array().expect("breaches are listed");
    let others = breaches.iter().filter(|b| b["invariant"] != invariant && b["invariant"] != "progress").count();
    assert_eq!(others, 0, "others broke with it: {verdict:#}");
    let breach = breaches.iter().find(|b| b["invariant"] == invariant).expect("the breach is described");
    assert!(breach["events"].as_array().is_some_and(|events| !events.is_empty()), "{verdict:#}");
}

/// Only a kernel whose state machine is wrong shows that the judge watches the state machine, and `--kernel` shows that a
/// developer's own build tree is taken as it is.
#[rstest]
#[case::acknowledged_before_the_work(
    "lockstep",
    "",
    vec![
        literal("curstate = newstate;\n", "curstate = newstate; ack_state(&update_ctrl, ret);\n"),
        literal("\t\tack_state(&update_ctrl, ret);\n\t} while", "\t} while"),
    ]
)]
#[case::advanced_one_acknowledgement_early(
    "lockstep",
    "",
    vec![literal("ctrl->num_ack == num_online_cpus() &&", "ctrl->num_ack == num_online_cpus() - 1 &&")]
)]
#[case::lead_step_on_every_cpu(
    "lead-only",
    "",
    vec![literal("if (smp_processor_id() == 0)", "if (smp_processor_id() >= 0)")]
)]
#[case::failures_not_looked_at(
    "stop-on-failure",
    "faults = [{ leaf = \"SEAMLDR.INSTALL\", lp = 2, action = \"vm-fail-invalid\" }]\nbudget.stall_cpu_s = 3\n",
    vec![literal("while (curstate != MODULE_UPDATE_DONE &&\n\t\t !READ_ONCE(update_ctrl.num_failed));", "while (curstate != MODULE_UPDATE_DONE);")]
)]
#[case::no_lock_before_the_loader(
    "serial-loader",
    "[platform.durations.leaf_ns]\n\"SEAMLDR.INSTALL\" = 1000000\n",
    vec![literal("guard(raw_spinlock)(&seamldr_lock);\n", "\n")]
)]
#[case::interrupts_enabled_inside_a_step(
    "interrupts-off",
    "",
    vec![literal("ret = seamldr_install(seamldr_params);", "local_irq_enable(); ret = seamldr_install(seamldr_params);")]
)]
#[case::interrupts_enabled_between_two_steps(
    "interrupts-off",
    "",
    vec![literal(
        "\t\tack_state(&update_ctrl, ret);\n\t} while",
        "\t\tlocal_irq_enable();\n\t\tack_state(&update_ctrl, ret);\n\t\tlocal_irq_disable();\n\t} while",
    )]
)]
#[case::foreign_seamcall_inside_a_step(
    "update-only",
    "",
    vec![literal("ret = tdx_cpu_enable();", "ret = tdx_cpu_enable(); seamcall(TDH_PHYMEM_PAGE_RDMD, &(struct tdx_module_args){});")]
)]
#[case::no_update_call(
    "lead-only",
    "",
    vec![literal("ret = tdx_module_run_update();", "ret = 0;")]
)]
#[case::update_call_behind_the_section(
    "lead-only",
    "",
    vec![
        literal("ret = tdx_module_run_update();", "ret = 0;"),
        literal("cpu_online_mask);", "cpu_online_mask);\n\tif (!ret)\n\t\tret = tdx_module_run_update();"),
    ]
)]
#[case::no_shutdown_call(
    "lead-only",
    "",
    vec![literal("ret = tdx_module_shutdown();", "ret = 0;")]
)]
#[case::state_goes_backwards_for_a_moment(
    "lockstep",
    "",
    vec![literal(
        "ret = tdx_cpu_enable();",
        "if (is_lead_cpu) { WRITE_ONCE(update_ctrl.state, MODULE_UPDATE_CPU_INSTALL); WRITE_ONCE(update_ctrl.state, MODULE_UPDATE_CPU_INIT); } ret = tdx_cpu_enable();",
    )]
)]
#[case::acknowledged_for_another_cpu(
    "lockstep",
    "",
    vec![literal(
        "\t\tack_state(&update_ctrl, ret);\n\t} while",
        "\t\tif (smp_processor_id() != 1) ack_state(&update_ctrl, ret);\n\t\tif (is_lead_cpu) ack_state(&update_ctrl, ret);\n\t} while",
    )]
)]
#[case::stopped_on_one_cpu_only(
    "participation",
    "budget.stall_cpu_s = 3\n",
    vec![literal("cpu_online_mask);", "cpumask_of(0));")]
)]
fn a_changed_line_breaks_its_invariant(
    #[case] invariant: &str,
    #[case] scenario: &str,
    #[case] edits: Vec<SourceEdit>,
) {
    let _host = share_host();
    assert_caught(&run(&tree(edits), scenario).json(1), invariant);
}

/// Runs that a race gets: one or two were enough when this was written.
const TRIES: u32 = 10;
/// Many CPUs on few cores, so that one is often held up between the load and the store of the counter.
const CROWD: &str = "cpus = 16\nupdates = 20\n";

/// A lost acknowledgement needs luck, so the test tries several times; it bounds and prints the number of attempts.
#[test]
fn acknowledgements_without_their_lock_break_lockstep() {
    let _host = take_host();
    let unlocked = tree(vec![literal("raw_spin_lock(&ctrl->lock);", ""), literal("raw_spin_unlock(&ctrl->lock);", "")]);
    for number in 1..=TRIES {
        let finished = run(&unlocked, CROWD);
        if finished.code != 0 {
            println!("caught in run {number} of at most {TRIES}");
            return assert_caught(&finished.json(1), "lockstep");
        }
    }
    panic!("{TRIES} runs of 20 updates on 16 CPUs passed without the lock");
}

/// The same luck finds nothing in the kernel as it is.
#[test]
fn acknowledgements_with_their_lock_hold_lockstep() {
    let _host = share_host();
    let rig = Rig::default();
    let path = rig.file("scenario.toml", format!("name = \"crowd\"\n{CROWD}"));
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--json"]).json(0);
    assert_eq!(verdict["invariants"]["lockstep"], "held", "{verdict:#}");
}
