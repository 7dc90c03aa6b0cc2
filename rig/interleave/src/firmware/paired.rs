//! seam-emu, and the small model to compare it with at each answer.

use super::emulated::{Emulated, EmulatedState};
use super::interface::{Failure, Firmware, Operands, Reply};
use super::small::{Small, SmallState};
use crate::Packer;
use crate::call::Call;
use crate::error::Unprovable;
use seam_emu::abi::Status;

/// seam-emu decides. If it is compared, the proof ends where the small model would answer otherwise.
#[derive(Debug)]
pub struct Paired {
    /// seam-emu.
    pub emulated: Emulated,
    /// Whether it is compared.
    pub compares: bool,
}

/// Whether the kernel's code cannot tell the two answers apart: what it branches on is the same. Versions differ, since the small
/// model makes its own up.
fn agree(one: Reply, other: Reply) -> bool {
    let again = Some(Status::RND_NO_ENTROPY.0);
    let kind = |reply: Reply| (reply.rax.is_none(), reply.is_success(), reply.rax == again, reply.r8.is_some());
    kind(one) == kind(other)
}

fn differ<T>(what: &str, call: Call, cpu: usize, found: &impl std::fmt::Debug) -> Result<T, Unprovable> {
    let name = call.name();
    Err(Unprovable::Machine(format!("seam-emu and the small model {what} {name} of CPU {cpu} otherwise: {found:x?}")))
}

impl Firmware for Paired {
    type State = (EmulatedState, SmallState);

    fn name(&self) -> &'static str {
        if self.compares { "seam-emu, compared with the small model" } else { "seam-emu" }
    }

    fn start(&self, cpus: usize) -> Self::State {
        (self.emulated.start(cpus), Small.start(cpus))
    }

    fn enter(&self, state: &mut Self::State, cpu: usize, call: Call, operands: Operands) -> Result<bool, Unprovable> {
        let accepted = self.emulated.enter(&mut state.0, cpu, call, operands)?;
        if !self.compares {
            return Ok(accepted);
        }
        let other = Small.enter(&mut state.1, cpu, call, operands)?;
        if accepted == other { Ok(accepted) } else { differ("take", call, cpu, &(accepted, other)) }
    }

    fn leave(&self, state: &mut Self::State, cpu: usize, failure: Option<Failure>) -> Result<Reply, Unprovable> {
        let call = self.call(state, cpu).expect("only a CPU that is inside leaves");
        let reply = self.emulated.leave(&mut state.0, cpu, failure)?;
        if !self.compares {
            return Ok(reply);
        }
        let other = Small.leave(&mut state.1, cpu, failure)?;
        let updated = (self.emulated.is_updated(&state.0), Small.is_updated(&state.1));
        if updated.0 != updated.1 {
            return differ("end the update by", call, cpu, &updated);
        }
        if agree(reply, other) { Ok(reply) } else { differ("answer", call, cpu, &(reply, other)) }
    }

    fn call(&self, state: &Self::State, cpu: usize) -> Option<Call> {
        self.emulated.call(&state.0, cpu)
    }

    fn version(&self, state: &Self::State, part: u8) -> Option<u64> {
        self.emulated.version(&state.0, part)
    }

    fn is_updated(&self, state: &Self::State) -> bool {
        self.emulated.is_updated(&state.0)
    }

    fn rank(&self, state: &Self::State, cpu: usize) -> u64 {
        self.emulated.rank(&state.0, cpu)
    }

    fn swap(&self, state: &mut Self::State, one: usize, other: usize) {
        self.emulated.swap(&mut state.0, one, other);
    }

    fn write(&self, state: &Self::State, bytes: &mut Packer) {
        self.emulated.write(&state.0, bytes);
        if self.compares {
            Small.write(&state.1, bytes);
        }
    }

    fn assumptions(&self) -> Vec<String> {
        self.emulated.assumptions()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_can_tell_apart_does_not_agree() {
        let reply = |rax, r8| Reply { rax, rdx: None, r8 };
        assert!(agree(reply(Some(0), Some(5)), reply(Some(0), Some(7))));
        assert!(
            agree(reply(Some(1 << 63), None), reply(Some(3 << 62), None)),
            "which error it is goes to the log only"
        );
        assert!(!agree(reply(Some(0), None), reply(Some(1 << 63), None)));
        assert!(!agree(reply(None, None), reply(Some(1 << 63), None)));
        assert!(!agree(reply(Some(0), Some(5)), reply(Some(0), None)));
    }
}
