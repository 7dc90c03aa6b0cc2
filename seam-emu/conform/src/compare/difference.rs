//! What differs between the module's answer and the model's.

use super::answer::Answer;
use std::fmt;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Difference {
    /// A register of a SEAMCALL that returned on both sides.
    Register {
        /// Its name.
        name: &'static str,
        /// The module's.
        module: u64,
        /// The model's.
        model: u64,
    },
    /// Memory that a leaf wrote.
    Memory {
        /// Physical address of the first byte that differs.
        pa: u64,
        /// The module's 8 bytes there.
        module: [u8; 8],
        /// The model's.
        model: [u8; 8],
    },
    /// The kind of answer.
    Kind {
        /// The module's.
        module: Answer,
        /// The model's.
        model: Answer,
    },
}

impl Difference {
    /// Whether another difference is of the same kind, so that a shorter sequence that shows it shows the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Register { name, module, model }, Self::Register { name: n, module: a, model: b }) => {
                // Details of statuses may be addresses, which a shorter sequence does not share.
                name == n && (*name != "rax" || (module, model) == (a, b))
            }
            (Self::Memory { .. }, Self::Memory { .. }) => true,
            (Self::Kind { module, model }, Self::Kind { module: a, model: b }) => {
                let same = |a: &Answer, b: &Answer| std::mem::discriminant(a) == std::mem::discriminant(b);
                same(module, a) && same(model, b)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { name, module, model } => {
                write!(f, "{}: module {module:#018x}, model {model:#018x}", name.to_uppercase())
            }
            Self::Memory { pa, module, model } => {
                write!(f, "memory at {pa:#x}: module {module:02x?}, model {model:02x?}")
            }
            Self::Kind { module, model } => write!(f, "module {module:x?}, model {model:x?}"),
        }
    }
}
