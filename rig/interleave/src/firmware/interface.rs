//! What the search asks of a firmware model.

use crate::Packer;
use crate::call::Call;
use crate::error::Unprovable;
use seam_emu::Regs;
use serde::Serialize;
use std::hash::Hash;

/// How the search makes a SEAMCALL fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// An error status in RAX.
    Status,
    /// VMfailInvalid: CF is set, RAX keeps its value.
    VmfailInvalid,
    /// The status `RND_NO_ENTROPY`, upon which the kernel calls again.
    NoEntropy,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Status, Self::VmfailInvalid, Self::NoEntropy];

    /// For reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "an error status",
            Self::VmfailInvalid => "VMfailInvalid",
            Self::NoEntropy => "RND_NO_ENTROPY",
        }
    }
}

/// Registers that go into a SEAMCALL of the update. The others are none of its operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operands {
    /// The leaf.
    pub rax: u64,
    /// First operand.
    pub rcx: u64,
    /// Second operand.
    pub rdx: u64,
    /// Third operand.
    pub r8: u64,
}

impl Operands {
    /// As seam-emu takes them.
    pub(super) fn regs(self) -> Regs {
        Regs { rax: self.rax, rcx: self.rcx, rdx: self.rdx, r8: self.r8, ..Regs::default() }
    }
}

/// What a SEAMCALL returns. Other registers keep their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Reply {
    /// RAX; none for VMfailInvalid.
    pub rax: Option<u64>,
    /// RDX, if the call changes it: a read names the next field there.
    pub rdx: Option<u64>,
    /// R8, if the call returns something there.
    pub r8: Option<u64>,
}

impl Reply {
    /// VMfailInvalid.
    pub const INVALID: Self = Self { rax: None, rdx: None, r8: None };

    /// A status, and nothing else.
    pub const fn status(status: u64) -> Self {
        Self { rax: Some(status), rdx: None, r8: None }
    }

    /// Whether the call did its work.
    pub fn is_success(self) -> bool {
        self.rax == Some(0)
    }
}

/// A firmware model. A call takes time: other CPUs act between [`Firmware::enter`] and [`Firmware::leave`].
pub trait Firmware: Sync {
    /// Its state, without that of the CPUs' registers.
    type State: Copy + Eq + Hash + std::fmt::Debug + Send + Sync;

    /// For reports.
    fn name(&self) -> &'static str;

    /// The state before an update, for this many CPUs.
    fn start(&self, cpus: usize) -> Self::State;

    /// `cpu` makes `call`. The result says whether the firmware takes it, which its state or a call of another CPU can prevent.
    fn enter(&self, state: &mut Self::State, cpu: usize, call: Call, operands: Operands) -> Result<bool, Unprovable>;

    /// The call of `cpu` comes back, with a failure or as the state says.
    fn leave(&self, state: &mut Self::State, cpu: usize, failure: Option<Failure>) -> Result<Reply, Unprovable>;

    /// The call in which `cpu` is.
    fn call(&self, state: &Self::State, cpu: usize) -> Option<Call>;

    /// What the module answers to a read of a part of its version; none if no module answers.
    fn version(&self, state: &Self::State, part: u8) -> Option<u64>;

    /// Whether the new module runs.
    fn is_updated(&self, state: &Self::State) -> bool;

    /// What tells `cpu` from others in the same private state.
    fn rank(&self, state: &Self::State, cpu: usize) -> u64;

    /// Exchanges two CPUs.
    fn swap(&self, state: &mut Self::State, one: usize, other: usize);

    /// All of the state, for fingerprints.
    fn write(&self, state: &Self::State, bytes: &mut Packer);

    /// What the model leaves out, for certificates.
    fn assumptions(&self) -> Vec<String>;
}
