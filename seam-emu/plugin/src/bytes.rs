//! One `GByteArray` per host thread, the buffer through which QEMU's plugin interface hands out bytes.

#![allow(unsafe_code, reason = "GLib's byte array is a C structure")]

use crate::ffi::{GByteArray, g_byte_array_new, g_byte_array_set_size};
use std::cell::Cell;
use std::ptr::null_mut;

thread_local! {
    static BUFFER: Cell<*mut GByteArray> = const { Cell::new(null_mut()) };
}

/// This thread's buffer. It lives as long as the process, as vCPU threads do.
fn buffer() -> *mut GByteArray {
    BUFFER.with(|cell| {
        if cell.get().is_null() {
            // SAFETY: allocates; GLib aborts rather than return null.
            cell.set(unsafe { g_byte_array_new() });
        }
        cell.get()
    })
}

/// Lets `fill` write into an emptied buffer and returns a copy of what it wrote, or none when it says that it failed.
pub(crate) fn filled<T>(fill: impl FnOnce(*mut GByteArray) -> bool, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let array = buffer();
    // SAFETY: the array is this thread's own and nothing borrows it: `read` below cannot keep its slice.
    unsafe {
        g_byte_array_set_size(array, 0);
        if !fill(array) {
            return None;
        }
        let bytes =
            if (*array).len == 0 { &[] } else { std::slice::from_raw_parts((*array).data, (*array).len as usize) };
        Some(read(bytes))
    }
}

/// Puts `data` into the buffer and hands it to `take`.
pub(crate) fn with<T>(data: &[u8], take: impl FnOnce(*mut GByteArray) -> T) -> T {
    let array = buffer();
    let len = u32::try_from(data.len()).expect("a buffer below 4 GiB");
    // SAFETY: as above; set_size makes `len` bytes writable at `data`.
    unsafe {
        g_byte_array_set_size(array, len);
        std::ptr::copy_nonoverlapping(data.as_ptr(), (*array).data, data.len());
    }
    take(array)
}
