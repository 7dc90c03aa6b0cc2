//! Functions that the compiler expects of a C library.

use core::arch::asm;

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller promises that many bytes on either side.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") length => _, options(nostack))
    };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= length {
        // SAFETY: the caller promises that many bytes on either side.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: the caller promises that many bytes on either side.
    unsafe {
        let (end, source) = (to.add(length).wrapping_sub(1), from.add(length).wrapping_sub(1));
        asm!("std", "rep movsb", "cld", inout("rdi") end => _, inout("rsi") source => _, inout("rcx") length => _);
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    // SAFETY: the caller promises that many bytes on either side.
    unsafe { asm!("rep stosb", inout("rdi") to => _, inout("rcx") length => _, in("al") byte as u8, options(nostack)) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for i in 0..length {
        // SAFETY: the caller promises that many bytes on either side.
        let (one, other) = unsafe { (one.add(i).read_volatile(), other.add(i).read_volatile()) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller promises that many bytes on either side.
    unsafe { memcmp(one, other, length) }
}

/// Named by the standard library's unwinding tables, and never called.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::serial::exit(2)
}
