//! Executing an instruction again, with everything as it was before it.
//!
//! `qemu_plugin_set_pc` is not enough for an instruction in the middle of a block: TCG knows there, but does not write down, how the
//! arithmetic flags are to be computed, so that a flag which an earlier instruction set is lost and a later one reads nonsense
//! (seen: `cmp`, a held load, `sbb` counted a failure that never was). QEMU restores that state from the place in the
//! block's host code, as it does for every exception.

#![allow(unsafe_code, reason = "QEMU's function is looked up by name")]

use crate::exported;
use crate::identity::current_cpu;
use std::ffi::c_void;
use std::sync::OnceLock;

/// `G_NORETURN void cpu_loop_exit_restore(CPUState *cpu, uintptr_t pc)` of QEMU's include/exec/cpu-common.h.
type ExitRestore = extern "C" fn(cpu: *mut c_void, host_pc: usize) -> !;

/// What to say where it is not possible.
pub(crate) const IMPOSSIBLE: &str = "this QEMU does not export cpu_loop_exit_restore, which holds need";

fn exit_restore() -> Option<ExitRestore> {
    static FOUND: OnceLock<Option<ExitRestore>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let [address] = exported::find([c"cpu_loop_exit_restore"])?;
        // SAFETY: a function of this name has this type.
        Some(unsafe { std::mem::transmute::<*mut c_void, ExitRestore>(address) })
    })
}

/// Whether this QEMU lets an instruction be executed again.
pub(crate) fn is_possible() -> bool {
    exit_restore().is_some()
}

/// Executes the instruction again whose callback returns to `host_pc` in the block's code. Longjmps out of the callback, like
/// `qemu_plugin_set_pc`: nothing that has a destructor may be alive.
pub(crate) fn again(host_pc: usize) -> ! {
    exit_restore().expect(IMPOSSIBLE)(current_cpu() as *mut c_void, host_pc)
}
