//! Instructions of the most privileged level that both bare programs execute: this one, and the VMM of `tests/bare`, which
//! takes this file.

use core::arch::asm;

pub fn outb(port: u16, value: u8) {
    // SAFETY: no device that these programs write to writes to their memory by it.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

pub fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register. A fault goes to a handler that skips the instruction, or ends the program.
    unsafe { asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

pub fn wrmsr(msr: u32, value: u64) {
    // SAFETY: the callers keep to values with which the program goes on; a fault is served as above.
    unsafe { asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack)) };
}
