//! Instructions that Rust has no words for. Those that the TDX module does not virtualise raise #VE, and `traps.rs` has the VMM
//! serve them.

use core::arch::asm;

pub fn outb(port: u16, value: u8) {
    // SAFETY: no device writes to the TD's private memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

pub fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register; a fault ends the TD.
    unsafe { asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

pub fn wrmsr(msr: u32, value: u64) {
    // SAFETY: the callers keep to values with which the program goes on.
    unsafe { asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack)) };
}

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
