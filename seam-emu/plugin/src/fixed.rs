//! Has QEMU translate code for the one address at which the guest runs it.
//!
//! By default QEMU's x86 target translates code that runs at any address (`CF_PCREL`). When a write hits such code, all vCPUs' caches of
//! where code is found have to be emptied, 64 KiB for each vCPU (`tb_jmp_cache_inval_tb()` of QEMU 11.1's `accel/tcg/tb-maint.c`); with a
//! fixed address one entry of each is looked at. A kernel that boots writes to its code some ten thousand times, when it
//! patches itself and when it gives its init text away: at 255 vCPUs a third of the boot (33 s to 22 s).

#![allow(unsafe_code, reason = "a field of QEMU's is found and written by what QEMU exports")]

use crate::decode;
use crate::exported;
use crate::identity::current_cpu;
use std::ffi::c_void;
use std::sync::OnceLock;

/// `CF_PCREL` of QEMU 11.1's `include/exec/translation-block.h`.
const CF_PCREL: u32 = 0x0002_0000;
/// Bytes that are read of `tcg_cflags_set()`: its first two instructions have ten, and it has fifteen.
const CODE: usize = 12;

/// `bool tcg_cflags_has(CPUState *cpu, uint32_t flags)` of `accel/tcg/tcg-accel-ops.h`.
type Has = extern "C" fn(cpu: *mut c_void, flags: u32) -> bool;

/// Where the flags lie in a `CPUState`, and how QEMU itself asks for them.
struct Flags {
    offset: usize,
    has: Has,
}

/// For the vCPU that this thread will run, before it runs. A QEMU that is built otherwise is only slower.
pub(crate) fn translate() {
    static FLAGS: OnceLock<Option<Flags>> = OnceLock::new();
    let Some(Flags { offset, has }) = FLAGS.get_or_init(find) else { return };
    let cpu = current_cpu() as *mut c_void;
    if !has(cpu, CF_PCREL) {
        return;
    }
    // SAFETY: the field that `tcg_cflags_set()` writes, a `uint32_t`, of the vCPU that this thread runs and nobody else looks into.
    unsafe {
        let flags = cpu.byte_add(*offset).cast::<u32>();
        flags.write(flags.read() & !CF_PCREL);
    }
    assert!(!has(cpu, CF_PCREL), "QEMU keeps a vCPU's translation flags elsewhere than where it writes them");
}

/// There is no function that takes a flag away; the one that sets one tells where they are.
fn find() -> Option<Flags> {
    let [set, has] = exported::find([c"tcg_cflags_set", c"tcg_cflags_has"])?;
    // SAFETY: the code of a function of QEMU's; functions begin at multiples of 16 bytes, so that many can be read.
    let code = unsafe { set.cast::<[u8; CODE]>().read() };
    let offset = decode::field_that_is_ored(&code)?;
    // SAFETY: a function of this name has this type in QEMU 11.1.
    Some(Flags { offset, has: unsafe { std::mem::transmute::<*mut c_void, Has>(has) } })
}
