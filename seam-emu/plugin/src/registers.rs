//! The registers of the vCPU whose callback is running.
//!
//! QEMU allows this only inside that vCPU's own callback, registered with the matching flag.

#![allow(unsafe_code, reason = "register access goes through QEMU's C interface")]

use crate::bytes;
use crate::ffi::{
    RegisterDescriptor, g_array_free, qemu_plugin_get_registers, qemu_plugin_read_register, qemu_plugin_write_register,
};
use seam_emu::Regs;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

/// The names by which gdb's descriptions call the registers that the emulation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reg {
    Rax,
    Rbx,
    Rcx,
    Rdx,
    Rsi,
    Rdi,
    Rbp,
    Rsp,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Eflags,
    Cs,
    GsBase,
    Cr3,
    Cr4,
    Efer,
}

/// RFLAGS.IF.
pub(crate) const RFLAGS_IF: u64 = 1 << 9;

const NAMES: [(&str, Reg); 22] = [
    ("rax", Reg::Rax),
    ("rbx", Reg::Rbx),
    ("rcx", Reg::Rcx),
    ("rdx", Reg::Rdx),
    ("rsi", Reg::Rsi),
    ("rdi", Reg::Rdi),
    ("rbp", Reg::Rbp),
    ("rsp", Reg::Rsp),
    ("r8", Reg::R8),
    ("r9", Reg::R9),
    ("r10", Reg::R10),
    ("r11", Reg::R11),
    ("r12", Reg::R12),
    ("r13", Reg::R13),
    ("r14", Reg::R14),
    ("r15", Reg::R15),
    ("eflags", Reg::Eflags),
    ("cs", Reg::Cs),
    ("gs_base", Reg::GsBase),
    ("cr3", Reg::Cr3),
    ("cr4", Reg::Cr4),
    ("efer", Reg::Efer),
];

/// General-purpose registers in the order of their numbers in an instruction's encoding.
pub(crate) const GPR: [Reg; 16] = [
    Reg::Rax,
    Reg::Rcx,
    Reg::Rdx,
    Reg::Rbx,
    Reg::Rsp,
    Reg::Rbp,
    Reg::Rsi,
    Reg::Rdi,
    Reg::R8,
    Reg::R9,
    Reg::R10,
    Reg::R11,
    Reg::R12,
    Reg::R13,
    Reg::R14,
    Reg::R15,
];

/// QEMU's handles, in the order of [`Reg`]. They are register numbers in disguise, alike for all vCPUs.
static HANDLES: OnceLock<Vec<usize>> = OnceLock::new();

/// Learns the handles. Call from a vCPU's start callback.
pub(crate) fn learn() {
    HANDLES.get_or_init(|| {
        let known = descriptors();
        NAMES
            .iter()
            .map(|(name, _)| *known.get(*name).unwrap_or_else(|| panic!("QEMU offers no register called {name}")))
            .collect()
    });
}

fn descriptors() -> HashMap<String, usize> {
    // SAFETY: called in a vCPU's start callback, as QEMU demands; the array is an array of descriptors whose names live
    // for ever, and is freed after its last use.
    unsafe {
        let array = qemu_plugin_get_registers();
        let descriptors = std::slice::from_raw_parts((*array).data.cast::<RegisterDescriptor>(), (*array).len as usize);
        let map = descriptors
            .iter()
            .map(|d| (CStr::from_ptr(d.name).to_string_lossy().into_owned(), d.handle as usize))
            .collect();
        g_array_free(array, 1);
        map
    }
}

fn handle(reg: Reg) -> *mut c_void {
    HANDLES.get().expect("register handles are learnt when the first vCPU starts")[reg as usize] as *mut c_void
}

/// Reads a register of the current vCPU, zero-extended.
pub(crate) fn read(reg: Reg) -> u64 {
    let value = bytes::filled(
        // SAFETY: the handle is QEMU's own and the buffer is valid.
        |array| unsafe { qemu_plugin_read_register(handle(reg), array) },
        |data| {
            let mut word = [0; 8];
            let n = data.len().min(8);
            word[..n].copy_from_slice(&data[..n]);
            u64::from_le_bytes(word)
        },
    );
    value.unwrap_or_else(|| panic!("QEMU refused to read {reg:?}"))
}

/// Writes a register of the current vCPU.
pub(crate) fn write(reg: Reg, value: u64) {
    // SAFETY: the handle is QEMU's own; eight bytes are at least the size of each register in [`NAMES`].
    let ok = bytes::with(&value.to_le_bytes(), |array| unsafe { qemu_plugin_write_register(handle(reg), array) });
    assert!(ok, "QEMU refused to write {reg:?}");
}

/// The operands of a SEAMCALL.
pub(crate) fn operands() -> Regs {
    Regs {
        rax: read(Reg::Rax),
        rcx: read(Reg::Rcx),
        rdx: read(Reg::Rdx),
        rbx: read(Reg::Rbx),
        rsi: read(Reg::Rsi),
        rdi: read(Reg::Rdi),
        r8: read(Reg::R8),
        r9: read(Reg::R9),
        r10: read(Reg::R10),
        r11: read(Reg::R11),
        r12: read(Reg::R12),
        r13: read(Reg::R13),
        r14: read(Reg::R14),
        r15: read(Reg::R15),
    }
}

/// Operands with the registers that they are in.
fn placed(operands: &Regs) -> [(Reg, u64); 14] {
    let Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = *operands;
    [
        (Reg::Rax, rax),
        (Reg::Rcx, rcx),
        (Reg::Rdx, rdx),
        (Reg::Rbx, rbx),
        (Reg::Rsi, rsi),
        (Reg::Rdi, rdi),
        (Reg::R8, r8),
        (Reg::R9, r9),
        (Reg::R10, r10),
        (Reg::R11, r11),
        (Reg::R12, r12),
        (Reg::R13, r13),
        (Reg::R14, r14),
        (Reg::R15, r15),
    ]
}

/// Writes all operands.
pub(crate) fn write_all_operands(regs: &Regs) {
    for (reg, value) in placed(regs) {
        write(reg, value);
    }
}

/// Writes back those operands that changed.
pub(crate) fn write_operands(before: &Regs, after: &Regs) {
    for ((reg, before), (_, after)) in placed(before).into_iter().zip(placed(after)) {
        if before != after {
            write(reg, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_registers() {
        for (i, (_, reg)) in NAMES.iter().enumerate() {
            assert_eq!(*reg as usize, i);
        }
    }
}
