//! Kernels with an error whose effect depends on the order of the CPUs: `rig prove` finds the shortest order that shows it, the
//! judge agrees by itself, and a whole machine replays it. The kernel as it is stands the same order, and a kernel with a change
//! that is no error is proved.

use crate::busted_kernel::{literal, tree};
use rig_images::SourceEdit;
use rig_tests::{Rig, take_host};
use serde_json::Value;
use std::path::Path;

/// A change of the kernel, and how many CPUs show what comes of it.
struct Mutant {
    name: &'static str,
    cpus: u8,
    edits: Vec<SourceEdit>,
}

const ACKNOWLEDGES: &str = "\t\tack_state(&update_ctrl, ret);\n\t} while";
const LOCKS: &str = "raw_spin_lock(&ctrl->lock);";
const UNLOCKS: &str = "raw_spin_unlock(&ctrl->lock);";
const COUNTS: &str = "\tctrl->num_ack++;\n";
const ADVANCES: &str = "ctrl->num_ack == num_online_cpus() &&";

/// Twins of the update module whose error depends on the order, as changes of the kernel, and one more.
fn mutants() -> Vec<Mutant> {
    let mutant = |name, cpus, edits: &[(&str, &str)]| {
        let edits = edits.iter().map(|(from, to)| literal(from, to)).collect();
        Mutant { name, cpus, edits }
    };
    vec![
        mutant("early-advance", 2, &[(ADVANCES, "ctrl->num_ack == num_online_cpus() - 1 &&")]),
        mutant(
            "advance at half of the acknowledgements",
            3,
            &[(ADVANCES, "ctrl->num_ack == num_online_cpus() / 2 &&")],
        ),
        mutant(
            "lost-ack",
            2,
            &[
                (COUNTS, ""),
                (LOCKS, "WRITE_ONCE(ctrl->num_ack, READ_ONCE(ctrl->num_ack) + 1);\n\traw_spin_lock(&ctrl->lock);"),
            ],
        ),
        mutant(
            "late-reset",
            2,
            &[
                ("\tctrl->num_ack = 0;\n\tctrl->state = newstate;", "\tctrl->state = newstate;"),
                ("\tctrl->num_failed = 0;\n", "\tctrl->num_failed = 0;\n\tctrl->num_ack = 0;\n"),
                (LOCKS, "bool last;\n\n\traw_spin_lock(&ctrl->lock);"),
                (
                    "if (ctrl->num_ack == num_online_cpus() &&",
                    "last = ctrl->num_ack == num_online_cpus();\n\tif (last &&",
                ),
                (UNLOCKS, "raw_spin_unlock(&ctrl->lock);\n\tif (last)\n\t\tWRITE_ONCE(ctrl->num_ack, 0);"),
            ],
        ),
    ]
}

/// The change after which a CPU looks at the state once more before it acknowledges.
fn looks_twice() -> Vec<SourceEdit> {
    let looks = "\t\tREAD_ONCE(update_ctrl.state);\n\t\tack_state(&update_ctrl, ret);\n\t} while";
    vec![literal(ACKNOWLEDGES, looks)]
}

/// `rig prove` of a kernel, which ends with this code.
fn prove(rig: &Rig, kernel: &Path, cpus: u8, scenario: &Path, code: i32) -> Value {
    let (kernel, scenario) = (kernel.to_str().unwrap(), scenario.to_str().unwrap());
    let words = ["prove", "--cpus", &cpus.to_string(), "--kernel", kernel, "--scenario", scenario, "--json"];
    rig.go(&words).json(code)
}

/// Refutes a mutant, replays what was found, and returns the row of the table.
fn refuted(mutant: Mutant) -> String {
    let Mutant { name, cpus, edits } = mutant;
    let rig = Rig::default();
    let (kernel, scenario) = (tree(edits), rig.path("counterexample.toml"));
    let refuted = prove(&rig, &kernel, cpus, &scenario, 1);
    let finding = &refuted["report"]["finding"];
    let rule = finding["rule"].as_str().expect("a rule is broken").to_owned();
    assert_eq!(refuted["judge"]["broken"], rule, "{name}: the judge judges the counterexample by itself: {refuted:#}");
    assert_eq!(refuted["judge"]["agrees"], true, "{name}");
    let text = std::fs::read_to_string(&scenario).expect("the scenario is written");
    let replay = |path: &Path| rig.go(&["run", path.to_str().unwrap(), "--json"]);
    let verdict = replay(&scenario).json(1);
    assert_eq!(verdict["verdict"], "failed", "{name}: {verdict:#}");
    assert_eq!(verdict["invariants"][&rule], "broken", "{name}: {verdict:#}");
    // The same order on the kernel as it is.
    let own: Vec<&str> = text.lines().filter(|line| !line.starts_with("kernel = ")).collect();
    let without_kernel = own.join("\n") + "\n";
    assert_ne!(text, without_kernel);
    let verdict = replay(&rig.file("unmodified.toml", without_kernel)).json(0);
    assert_eq!(verdict["verdict"], "passed", "{name}: {verdict:#}");
    let operations = finding["acts"].as_array().map_or(0, Vec::len);
    let holds = text.matches("[[hold]]").count();
    let states = &refuted["report"]["states"];
    format!("| {name} | {cpus} | `{rule}` | {operations} | {states} | broken | {holds} | broken | passed |")
}

#[test]
#[ignore = "builds four kernels and runs each twice; the table of docs/proofs.md"]
fn errors_that_depend_on_the_order_are_refuted_and_replayed() {
    let _host = take_host();
    println!(
        "| error | CPUs | rule | operations | states seen | the judge | holds | `rig run` of the scenario | the same on the rig's kernel |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    mutants().into_iter().map(refuted).for_each(|row| println!("{row}"));
}

#[test]
#[ignore = "builds a kernel"]
fn a_kernel_that_looks_twice_is_certified() {
    let rig = Rig::default();
    let (kernel, scenario) = (tree(looks_twice()), rig.path("counterexample.toml"));
    for cpus in [2, 3] {
        let proved = prove(&rig, &kernel, cpus, &scenario, 0);
        assert_eq!(proved["report"]["verdict"], "holds", "{proved:#}");
        println!("{cpus} CPUs: {} states, {} transitions", proved["report"]["states"], proved["report"]["transitions"]);
        let unchanged = rig.go(&["prove", "--cpus", &cpus.to_string(), "--json"]).json(0);
        assert_ne!(proved["report"]["code"], unchanged["report"]["code"], "it is other code");
    }
}
