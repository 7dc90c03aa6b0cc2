//! An instruction for another: what interpreters with an error execute, here and in `tests/e2e/interpreter`, which takes this
//! file.

use iced_x86::{Code, Instruction};

/// The instruction, with the same operands, whose form's name begins with `to` where this one's begins with `from`; any other
/// is left as it is.
pub(super) fn renamed(mut instruction: Instruction, from: &str, to: &str) -> Instruction {
    let name = format!("{:?}", instruction.code());
    if let Some(operands) = name.strip_prefix(from) {
        let other = format!("{to}{operands}");
        let code = Code::values().find(|code| format!("{code:?}") == other);
        instruction.set_code(code.expect("both have the same forms"));
    }
    instruction
}
