//! QEMU's plugin interface, version 7 (QEMU 11.1, `include/plugins/qemu-plugin.h`), as far as it is used here.
//!
//! QEMU 11.1 loads plugins of version 7 only.

#![allow(unsafe_code, reason = "declarations of C functions")]

use rig_wire::plan::STALLED_EXIT_CODE;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// The interface version that this plugin speaks; QEMU reads this symbol before it calls `qemu_plugin_install`.
#[unsafe(no_mangle)]
static qemu_plugin_version: c_int = 7;

/// `qemu_info_t`, for system emulation.
#[repr(C)]
pub(crate) struct Info {
    /// Name of the target architecture.
    pub(crate) target_name: *const c_char,
    /// Lowest and current interface version of this QEMU.
    pub(crate) version: [c_int; 2],
    /// Full system emulation, not a user program.
    pub(crate) system_emulation: bool,
    /// vCPUs at start.
    pub(crate) smp_vcpus: c_int,
    /// Most vCPUs possible.
    pub(crate) max_vcpus: c_int,
}

/// `GByteArray` of GLib.
#[repr(C)]
pub(crate) struct GByteArray {
    /// The bytes.
    pub(crate) data: *mut u8,
    /// How many.
    pub(crate) len: c_uint,
}

/// `GArray` of GLib.
#[repr(C)]
pub(crate) struct GArray {
    /// The elements.
    pub(crate) data: *mut c_void,
    /// How many.
    pub(crate) len: c_uint,
}

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
pub(crate) struct RegisterDescriptor {
    /// Handle for reading and writing; the same for every vCPU of one model.
    pub(crate) handle: *mut c_void,
    /// The gdb name, such as `rax`.
    pub(crate) name: *const c_char,
    /// The gdb feature; may be null.
    pub(crate) feature: *const c_char,
    /// QEMU refuses to write it.
    pub(crate) is_readonly: bool,
}

/// `qemu_plugin_mem_value`: a tag (log2 of the size), then up to 16 bytes.
#[repr(C)]
pub(crate) struct MemValue {
    /// 0 for one byte .. 4 for sixteen.
    pub(crate) kind: c_uint,
    /// Low and high half, host byte order; bytes beyond the size are undefined.
    pub(crate) data: [u64; 2],
}

/// `qemu_plugin_u64`: a word of each vCPU's entry in a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PerVcpuWord {
    /// `struct qemu_plugin_scoreboard *`.
    pub(crate) scoreboard: *mut c_void,
    /// Byte offset in the entry.
    pub(crate) offset: usize,
}

/// Opaque translation block.
pub(crate) enum Tb {}
/// Opaque instruction.
pub(crate) enum Insn {}

/// Callback does not touch registers.
pub(crate) const CB_NO_REGS: c_uint = 0;
/// Callback reads registers.
pub(crate) const CB_R_REGS: c_uint = 1;
/// Callback reads and writes registers.
pub(crate) const CB_RW_REGS: c_uint = 2;
/// Callback reads and writes registers and may set the PC.
pub(crate) const CB_RW_REGS_PC: c_uint = 3;
/// Inline operation: add an immediate.
pub(crate) const INLINE_ADD_U64: c_uint = 0;
/// What QEMU counts as an interrupt. Of an x86 vCPU that includes exceptions: #UD was seen.
pub(crate) const DISCONTINUITY_INTERRUPT: c_uint = 1;
/// Both loads and stores.
pub(crate) const MEM_RW: c_uint = 3;

/// Callback of an executed instruction or a vCPU's start.
pub(crate) type VcpuCallback = extern "C" fn(vcpu: c_uint, userdata: *mut c_void);
/// Callback of a translated block.
pub(crate) type TranslateCallback = extern "C" fn(tb: *mut Tb, userdata: *mut c_void);
/// Callback of an interrupt: `from` is the instruction that would have been next, `to` the handler's first.
pub(crate) type DiscontinuityCallback =
    extern "C" fn(vcpu: c_uint, kind: c_uint, from: u64, to: u64, userdata: *mut c_void);
/// Callback of a memory access.
pub(crate) type MemCallback = extern "C" fn(vcpu: c_uint, info: u32, vaddr: u64, userdata: *mut c_void);

unsafe extern "C" {
    pub(crate) fn qemu_plugin_register_vcpu_init_cb(id: u64, cb: VcpuCallback, userdata: *mut c_void);
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: TranslateCallback, userdata: *mut c_void);
    pub(crate) fn qemu_plugin_register_vcpu_discon_cb(
        id: u64,
        kinds: c_uint,
        cb: DiscontinuityCallback,
        userdata: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        cb: VcpuCallback,
        flags: c_uint,
        ud: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        cb: MemCallback,
        flags: c_uint,
        rw: c_uint,
        ud: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb: *mut Tb,
        op: c_uint,
        entry: PerVcpuWord,
        imm: u64,
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_cb(tb: *mut Tb, cb: VcpuCallback, flags: c_uint, ud: *mut c_void);
    pub(crate) fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut c_void;
    pub(crate) fn qemu_plugin_u64_get(entry: PerVcpuWord, vcpu: c_uint) -> u64;
    pub(crate) fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    /// Guest virtual address of the block's first instruction.
    pub(crate) fn qemu_plugin_tb_vaddr(tb: *const Tb) -> u64;
    pub(crate) fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    pub(crate) fn qemu_plugin_insn_data(insn: *const Insn, dest: *mut c_void, len: usize) -> usize;
    pub(crate) fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    /// Host address of the instruction's first byte; null where it lies in no RAM.
    pub(crate) fn qemu_plugin_insn_haddr(insn: *const Insn) -> *mut c_void;
    pub(crate) fn qemu_plugin_mem_is_store(info: u32) -> bool;
    pub(crate) fn qemu_plugin_mem_get_value(info: u32) -> MemValue;
    pub(crate) fn qemu_plugin_get_registers() -> *mut GArray;
    pub(crate) fn qemu_plugin_read_register(handle: *mut c_void, buf: *mut GByteArray) -> bool;
    pub(crate) fn qemu_plugin_write_register(handle: *mut c_void, buf: *mut GByteArray) -> bool;
    pub(crate) fn qemu_plugin_set_pc(vaddr: u64) -> !;
    pub(crate) fn qemu_plugin_read_memory_vaddr(addr: u64, data: *mut GByteArray, len: usize) -> bool;
    pub(crate) fn qemu_plugin_write_memory_vaddr(addr: u64, data: *mut GByteArray) -> bool;
    pub(crate) fn qemu_plugin_read_memory_hwaddr(addr: u64, data: *mut GByteArray, len: usize) -> c_uint;
    pub(crate) fn qemu_plugin_write_memory_hwaddr(addr: u64, data: *mut GByteArray) -> c_uint;
    pub(crate) fn g_byte_array_new() -> *mut GByteArray;
    pub(crate) fn g_byte_array_set_size(array: *mut GByteArray, len: c_uint) -> *mut GByteArray;
    pub(crate) fn g_array_free(array: *mut GArray, free_segment: c_int) -> *mut c_char;
}

/// Ends QEMU at this instruction of this vCPU. It is not asked to end, since the machine would go on meanwhile.
pub(crate) fn end_at_once() -> ! {
    // SAFETY: leaves the process without running anything.
    unsafe { libc::_exit(STALLED_EXIT_CODE) }
}
