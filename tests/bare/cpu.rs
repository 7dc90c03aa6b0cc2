//! Instructions that Rust has no words for, and the local APIC.

pub use crate::privileged::{outb, rdmsr, wrmsr};
use core::arch::asm;

/// Reads a word of memory, which is all the program's own.
pub fn read(at: u64) -> u64 {
    // SAFETY: the address is mapped, and whoever else writes there writes whole words.
    unsafe { (at as *const u64).read_volatile() }
}

/// Writes a word of memory.
pub fn write(at: u64, value: u64) {
    // SAFETY: the address is mapped, and names no variable of Rust's.
    unsafe { (at as *mut u64).write_volatile(value) }
}

macro_rules! register {
    ($read:ident, $name:literal) => {
        pub fn $read() -> u64 {
            let value;
            // SAFETY: reads a register.
            unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nostack)) };
            value
        }
    };
    ($read:ident, $write:ident, $name:literal) => {
        register!($read, $name);
        pub fn $write(value: u64) {
            // SAFETY: the caller keeps to values with which the program goes on.
            unsafe { asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack)) };
        }
    };
}
register!(read_cr0, "cr0");
register!(read_cr2, write_cr2, "cr2");
register!(read_cr3, "cr3");
register!(read_cr4, write_cr4, "cr4");
register!(read_dr0, write_dr0, "dr0");
register!(read_dr3, write_dr3, "dr3");

pub fn rdtsc() -> u64 {
    // SAFETY: every processor here has the counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

pub fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: no device here writes to memory by it.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack)) };
    value
}

pub fn pause() {
    core::hint::spin_loop();
}

/// Lets an interrupt come, and no other after it.
pub fn take_interrupts() {
    // SAFETY: all vectors have handlers that leave registers as they were.
    unsafe { asm!("sti", "nop", "nop", "cli", options(nostack)) };
}

/// EFER, and the bases of FS and GS.
pub const EFER: u32 = 0xC000_0080;
pub const FS_BASE: u32 = 0xC000_0100;
pub const GS_BASE: u32 = 0xC000_0101;
pub const KERNEL_GS_BASE: u32 = 0xC000_0102;
pub const LSTAR: u32 = 0xC000_0082;

/// Registers of the local APIC, by offset.
pub mod apic {
    pub const TPR: u64 = 0x80;
    pub const EOI: u64 = 0xB0;
    pub const SPURIOUS: u64 = 0xF0;
    pub const ICR_LOW: u64 = 0x300;
    pub const ICR_HIGH: u64 = 0x310;
    pub const TIMER: u64 = 0x320;
    pub const TIMER_COUNT: u64 = 0x380;
    pub const TIMER_DIVIDE: u64 = 0x3E0;
    const MASKED: u32 = 1 << 16;

    pub fn write(register: u64, value: u32) {
        // SAFETY: the local APIC's registers, mapped by identity.
        unsafe { ((0xFEE0_0000 + register) as *mut u32).write_volatile(value) };
    }

    /// How often the processor's counter ticks, kHz, by the timer of QEMU, which counts nanoseconds.
    pub fn khz() -> u64 {
        const CURRENT: *const u32 = 0xFEE0_0390 as *const u32;
        const MILLISECONDS: u64 = 50;
        write(TIMER_DIVIDE, 0b1011);
        write(TIMER, MASKED);
        write(TIMER_COUNT, MILLISECONDS as u32 * 1_000_000);
        let begin = super::rdtsc();
        // SAFETY: a register of the local APIC, mapped by identity.
        while unsafe { CURRENT.read_volatile() } != 0 {}
        (super::rdtsc() - begin) / MILLISECONDS
    }

    /// Enables it.
    pub fn enable() {
        write(SPURIOUS, 0x1FF);
        write(TPR, 0);
    }

    /// A periodic interrupt; none with a period of 0. QEMU's timer counts nanoseconds.
    pub fn periodic(vector: u8, nmi: bool, period_ns: u32) {
        const PERIODIC: u32 = 1 << 17;
        const NMI: u32 = 0b100 << 8;
        write(TIMER_DIVIDE, 0b1011);
        let mode = if nmi { NMI } else { u32::from(vector) };
        write(TIMER, if period_ns == 0 { MASKED } else { PERIODIC | mode });
        write(TIMER_COUNT, period_ns);
    }
}
