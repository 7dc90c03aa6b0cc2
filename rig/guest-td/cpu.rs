//! Instructions that Rust has no words for. Those that the TDX module does not virtualise raise #VE, and `traps.rs` has the VMM
//! serve them.

pub use crate::privileged::{outb, rdmsr, wrmsr};
use core::arch::asm;

/// EAX, EBX, ECX and EDX of a leaf.
pub fn cpuid(leaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx): (u32, u64, u32, u32);
    // SAFETY: writes the registers that it names; RBX is the compiler's, so it is kept.
    unsafe {
        asm!("xchg rbx, {kept}", "cpuid", "xchg rbx, {kept}", kept = inout(reg) 0_u64 => ebx,
            inout("eax") leaf => eax, inout("ecx") 0 => ecx, out("edx") edx, options(nostack));
    }
    [eax, ebx as u32, ecx, edx]
}

/// The time-stamp counter, and TSC_AUX.
pub fn rdtscp() -> (u64, u32) {
    let (low, high, aux): (u32, u32, u32);
    // SAFETY: reads registers.
    unsafe { asm!("rdtscp", out("eax") low, out("edx") high, out("ecx") aux, options(nostack)) };
    (u64::from(high) << 32 | u64::from(low), aux)
}

/// Lets interrupts come that wait.
pub fn take_interrupts() {
    // SAFETY: all vectors have handlers that leave registers as they were.
    unsafe { asm!("sti", "nop", "nop", "cli", options(nostack)) };
}

/// Halts until an interrupt comes.
pub fn wait_for_interrupt() {
    // SAFETY: as above.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}
