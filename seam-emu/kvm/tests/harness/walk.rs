//! A vCPU from a function's entry to its return.

use super::layout::{EXCEPTION_STACK_SIZE, EXCEPTION_STACKS, HANDLER_SIZE, HANDLERS, RAISED, RETURNED};
use kvm_ioctls::VcpuFd;
use seam_kvm::{Emulator, Ended, Exit, KvmVcpu, RunError, UnknownExit, Vcpu, run};
use std::sync::atomic::{AtomicBool, Ordering};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// The function returned this in RAX.
    Returned(u64),
    /// An exception was delivered.
    Raised {
        vector: u64,
        /// RIP in the exception's frame, and the error code where there is one.
        address: u64,
        error_code: Option<u64>,
    },
    /// The case was given up while the vCPU was in the function.
    GivenUp,
}

/// Why a case has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Unknown(UnknownExit),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs the vCPU until the function returns. Returns how it ended, and how often the owner had its thread back, which it
/// gave away again at once.
pub(crate) fn walk(
    emulator: &Emulator,
    lp: u16,
    vcpu: &mut impl KickedVcpu,
    given_up: &AtomicBool,
) -> Result<(Walked, u64), Trouble> {
    let mut kicks = 0;
    loop {
        match run(emulator, lp, vcpu)? {
            Ended::Kicked if given_up.load(Ordering::SeqCst) => return Ok((Walked::GivenUp, kicks)),
            Ended::Kicked => {
                vcpu.take_kick();
                kicks += 1;
            }
            Ended::Exit(UnknownExit { exit: Exit::Out(RETURNED), .. }) => {
                return Ok((Walked::Returned(vcpu.registers().rax), kicks));
            }
            Ended::Exit(UnknownExit { exit: Exit::Out(RAISED), address, .. }) => {
                return Ok((raised(emulator, lp, address), kicks));
            }
            Ended::Exit(unknown) => return Err(Trouble::Unknown(unknown)),
        }
    }
}

/// A vCPU whose kicks can be taken.
pub(crate) trait KickedVcpu: Vcpu {
    fn take_kick(&self);
}

impl KickedVcpu for KvmVcpu<VcpuFd> {
    fn take_kick(&self) {
        self.area().take_kick();
    }
}

/// The frame that the exception left on its stack, which was empty before.
fn raised(emulator: &Emulator, lp: u16, address: u64) -> Walked {
    let vector = (address - HANDLERS) / HANDLER_SIZE;
    let has_code = matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30);
    let top = EXCEPTION_STACKS + EXCEPTION_STACK_SIZE * (u64::from(lp) + 1);
    let word = |place: u64| emulator.ram().load(top - 8 * place, 8).expect("the stack is memory");
    // From its top: SS, RSP, RFLAGS, CS, RIP, and the error code.
    Walked::Raised { vector, address: word(5), error_code: has_code.then(|| word(6)) }
}
