//! Why no verdict can be given.

/// What ends a proof without a verdict. Nothing is guessed: whatever the interpreter does not know comes out as one of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprovable {
    /// The file is no x86-64 ELF file with symbols.
    #[error("the kernel's ELF file cannot be read: {0}")]
    Image(String),
    /// The proof needs a function or variable that the kernel does not have, or has with another size.
    #[error("the kernel has no usable symbol {0}")]
    Symbol(String),
    /// An instruction that the interpreter does not know.
    #[error("the interpreter does not know `{instruction}` at {at} ({address:#x})")]
    Instruction {
        /// The instruction's form, and its bytes in hexadecimal digits.
        instruction: String,
        /// Function and offset.
        at: String,
        /// Its address.
        address: u64,
    },
    /// An access that the interpreter does not model.
    #[error("{what} at {at} (address {address:#x})")]
    Access {
        /// What is not modelled.
        what: &'static str,
        /// Function and offset of the instruction.
        at: String,
        /// The address that is accessed or executed.
        address: u64,
    },
    /// What the uploader does before or after the section is not what the proof knows.
    #[error("the uploader's part is not understood: {0}")]
    Uploader(String),
    /// The machine whose state is to be the initial one is not what the proof takes it for.
    #[error("the machine's state is not understood: {0}")]
    Machine(String),
    /// The code of the spin lock does not keep the lock's contract.
    #[error("spin locks do not keep their contract: {}", steps.join("; "))]
    Lock {
        /// The shortest way on which they do not.
        steps: Vec<String>,
    },
    /// The exploration is larger than the memory that it may use.
    #[error("after {states} states the exploration needs more than the {limit_mib} MiB that it may use")]
    Memory {
        /// States found so far.
        states: usize,
        /// The limit in MiB.
        limit_mib: usize,
    },
    /// A bound of the program's own tables.
    #[error("{what}: more than {limit}")]
    Bound {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
}

impl Unprovable {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Image(_) => "give a vmlinux, or a build tree that has one",
            Self::Symbol(_) => {
                "take a kernel with CONFIG_INTEL_TDX_HOST=y, with its complete symbol table, and whose update code this version knows"
            }
            Self::Instruction { .. } | Self::Access { .. } | Self::Uploader(_) | Self::Machine(_) => {
                "nothing is proved about this kernel; report the line above with the kernel's configuration"
            }
            Self::Lock { .. } => "explore with the locks' own code: leave --lock contract out",
            Self::Memory { .. } => "allow more with --memory-mib, or take fewer CPUs or no failure",
            Self::Bound { .. } => "take fewer CPUs",
        }
    }
}
