//! The first serial port, line by line, and the end.

use crate::cpu::outb;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

const PORT: u16 = 0x3F8;
/// `isa-debug-exit`.
const EXIT: u16 = 0xF4;

struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| outb(PORT, byte));
        Ok(())
    }
}

static BUSY: AtomicBool = AtomicBool::new(false);

/// Writes without a line from another processor in between.
pub fn write(arguments: fmt::Arguments<'_>) {
    while BUSY.swap(true, Ordering::Acquire) {
        crate::cpu::pause();
    }
    let _ = Port.write_fmt(arguments);
    let _ = Port.write_str("\n");
    BUSY.store(false, Ordering::Release);
}

/// A line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::serial::write(format_args!($($argument)*)) };
}

/// Ends the machine.
pub fn exit(code: u8) -> ! {
    loop {
        outb(EXIT, code);
    }
}
