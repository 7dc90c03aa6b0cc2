//! Writes a finding as a test of the model.

use super::Finding;
use crate::compare::{Answer, Difference, Operands, Step};
use crate::platform::Topology;
use seam_emu::abi::Leaf;
use seam_emu::{Generation, Regs};
use std::fmt::Write;

/// A test for `seam-emu/tests/gaps`, which fails as long as the model differs.
pub fn test_case(found: &Finding, module: Generation, next: Generation, topology: Topology) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "// {}", found.difference);
    text.push_str("#[test]\nfn found_by_seam_conform() {\n");
    let _ = writeln!(text, "    let config = {};", configuration(topology));
    let _ = writeln!(text, "    let mut m = Machine::with(config, &ImageSpec::of(Generation::{module:?}));");
    for step in &found.steps {
        match step {
            Step::Put { pa, bytes } => {
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let _ = writeln!(text, "    m.memory.write({pa:#x}, &{:?}).expect(\"RAM\");", &bytes[..used]);
            }
            Step::InitializeTdmr { lp, base } => {
                let regs = Regs { rax: Leaf::SysTdmrInit.number(), rcx: *base, ..Regs::default() };
                let again = "Answer::Status(Status::SUCCESS)";
                let call = Operands(&regs);
                let _ = writeln!(text, "    while m.call({lp}, {call}) == {again} && m.regs.rdx == {base:#x} {{}}");
            }
            Step::Install => {
                let image = format!("image(&ImageSpec::of(Generation::{next:?}))");
                let _ = writeln!(text, "    assert_eq!(m.install(&{image}, 1), Answer::Status(Status::SUCCESS));");
            }
            Step::Call { lp, regs } => {
                let _ = writeln!(text, "    m.call({lp}, {});{}", Operands(regs), name(step));
            }
        }
    }
    text.push_str(&assertion(&found.difference));
    text.push_str("}\n");
    text
}

/// The model's configuration as an expression.
fn configuration(topology: Topology) -> String {
    let config = topology.model_config();
    let lps: Vec<String> = config.lps.iter().map(|lp| format!("{lp:?}")).collect();
    format!(
        "Config {{ lps: vec![{}], cpuid_1_eax: {:#x}, seamrr: MemoryRange {{ base: {:#x}, size: {:#x} }}, ..Config::default() }}",
        lps.join(", "),
        config.cpuid_1_eax,
        config.seamrr.base,
        config.seamrr.size
    )
}

/// The leaf's name as a comment.
fn name(step: &Step) -> String {
    step.leaf().map_or_else(String::new, |leaf| format!(" // {}", leaf.name()))
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
