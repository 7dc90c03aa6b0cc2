//! Writes a finding as a test of the model.

use super::Finding;
use crate::compare::{Answer, Difference, Operands, Step};
use crate::platform::Topology;
use std::fmt::Write;

/// A test for `seam-emu/tests/gaps`, which fails as long as the model differs.
pub fn test_case(found: &Finding, module: &str, next: &str, topology: Topology) -> String {
    let mut text = String::new();
    let Topology { packages, lps_per_package } = topology;
    let _ = writeln!(text, "// {}", found.difference);
    let _ = writeln!(text, "// Module {module}, then {next}; {packages} packages of {lps_per_package} LPs.");
    text.push_str("#[test]\nfn found_by_seam_conform() {\n    let mut m = conformance_machine();\n");
    let last = found.steps.len() - 1;
    for (i, step) in found.steps.iter().enumerate() {
        match step {
            Step::Put { pa, bytes } => {
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let _ = writeln!(text, "    m.memory.write({pa:#x}, &{:?}).expect(\"RAM\");", &bytes[..used]);
            }
            Step::InitializeTdmr { lp, base } => {
                let _ = writeln!(text, "    m.initialize_tdmr({lp}, {base:#x});");
            }
            Step::Install => text.push_str("    assert!(m.install_next());\n"),
            Step::Call { lp, regs } => {
                if i == last {
                    text.push_str(&expected(&found.difference));
                }
                let _ = writeln!(text, "    m.call({lp}, {});{}", Operands(regs), name(step));
            }
        }
    }
    text.push_str(&assertion(&found.difference));
    text.push_str("}\n");
    text
}

/// The leaf's name as a comment.
fn name(step: &Step) -> String {
    step.leaf().map_or_else(String::new, |leaf| format!(" // {}", leaf.name()))
}

/// What the last call must come to, said before it.
fn expected(difference: &Difference) -> String {
    match difference {
        Difference::Register { name, model, .. } => format!("    // The model has {name} = {model:#x}.\n"),
        Difference::Memory { .. } | Difference::Kind { .. } => format!("    // {difference}\n"),
    }
}

/// The check behind the last step.
fn assertion(difference: &Difference) -> String {
    match difference {
        Difference::Register { name, module, .. } => format!("    assert_eq!(m.regs.{name}, {module:#x});\n"),
        Difference::Memory { pa, module, .. } => {
            format!("    assert_eq!(m.get::<[u8; 8]>({pa:#x}), {module:?});\n")
        }
        Difference::Kind { module: Answer::Returned(after), .. } => {
            format!("    assert_eq!(m.regs.rax, {:#x});\n", after.rax)
        }
        Difference::Kind { module, .. } => format!("    // The module: {module:x?}\n"),
    }
}
