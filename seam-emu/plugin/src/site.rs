//! An instruction while its block is being translated.

#![allow(unsafe_code, reason = "calls into QEMU with its own handles")]

use crate::emulator;
use crate::ffi::{self, CB_R_REGS, Insn, MEM_RW, MemCallback, Tb, VcpuCallback};
use std::ffi::{c_uint, c_void};

/// An instruction's bytes and address, while its block is being translated.
pub(crate) struct Site {
    insn: *mut Insn,
    /// Guest virtual address.
    pub(crate) pc: u64,
    bytes: [u8; 16],
    /// Length in bytes.
    pub(crate) len: usize,
}

impl Site {
    /// The instruction of this number, counted from 0, of a block that is being translated.
    pub(crate) fn of(tb: *mut Tb, index: usize) -> Self {
        let mut bytes = [0; 16];
        // SAFETY: handles of the block's instructions are valid during its translation.
        unsafe {
            let insn = ffi::qemu_plugin_tb_get_insn(tb, index);
            let len = ffi::qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), bytes.len());
            Self { insn, pc: ffi::qemu_plugin_insn_vaddr(insn), bytes, len }
        }
    }

    /// Its bytes, as many as TCG saw.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Has this called before it executes.
    pub(crate) fn on_execute(&self, callback: VcpuCallback, flags: c_uint, userdata: u64) {
        // SAFETY: the instruction handle is valid during translation; userdata is a number, never a pointer.
        unsafe { ffi::qemu_plugin_register_vcpu_insn_exec_cb(self.insn, callback, flags, userdata as *mut c_void) };
    }

    /// Has this called behind each of its accesses to memory.
    pub(crate) fn on_access(&self, callback: MemCallback) {
        // SAFETY: as above.
        unsafe {
            ffi::qemu_plugin_register_vcpu_mem_cb(self.insn, callback, CB_R_REGS, MEM_RW, self.pc as *mut c_void);
        }
    }
}

/// Whether a block lies in SEAM root's hidden memory. That address space is not the guest's, so it goes by the place in memory.
pub(crate) fn is_stub(tb: *mut Tb) -> bool {
    emulator::get().root.as_ref().is_some_and(|root| {
        // SAFETY: a block has an instruction, whose handle is valid during its translation.
        let host = unsafe { ffi::qemu_plugin_insn_haddr(ffi::qemu_plugin_tb_get_insn(tb, 0)) };
        root.has_stub_at(host as usize)
    })
}
