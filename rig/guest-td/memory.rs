//! The TD's memory, and what lies where in a vCPU's part of it.

/// Linear address of the guest-physical address 0 as shared memory (`boot.rs`).
const SHARED_LINEAR: u64 = 1 << 39;
const PAGE: u64 = 4096;

/// A vCPU's part of memory, as `rig/src/tds/layout.rs` has it.
#[derive(Clone, Copy)]
pub struct Part(u64);

impl Part {
    pub fn at(base: u64) -> Self {
        Self(base)
    }

    /// Rounds to make, or 0: until the stop word is 1.
    pub fn rounds(self) -> u64 {
        self.0
    }

    pub fn data(self) -> u64 {
        self.0 + PAGE
    }

    pub fn counter(self) -> u64 {
        self.0 + 2 * PAGE
    }

    pub fn chain(self) -> u64 {
        self.0 + 3 * PAGE
    }

    pub fn echo(self) -> u64 {
        self.0 + 4 * PAGE
    }

    pub fn converted(self) -> u64 {
        self.0 + 5 * PAGE
    }

    /// The stop word, and behind it a word to echo.
    pub fn shared(self) -> u64 {
        self.0 + 8 * PAGE
    }
}

/// Where a guest-physical address is reached as shared memory.
pub fn shared(gpa: u64) -> u64 {
    SHARED_LINEAR + gpa
}

/// Reads a word.
pub fn read(at: u64) -> u64 {
    // SAFETY: the address is mapped and no variable of Rust's; whoever else writes there writes whole words.
    unsafe { (at as *const u64).read_volatile() }
}

/// Writes a word.
pub fn write(at: u64, value: u64) {
    // SAFETY: as above.
    unsafe { (at as *mut u64).write_volatile(value) }
}

/// What the compiler calls by these names.
mod called {
    use core::arch::asm;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        // SAFETY: the caller promises room.
        unsafe {
            asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") count => _, options(nostack));
        }
        to
    }
}
