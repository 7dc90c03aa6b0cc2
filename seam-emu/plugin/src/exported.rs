//! What QEMU exports beside its plugin interface, by name. What a name's type is, its user has to know.

#![allow(unsafe_code, reason = "symbols are looked up in the process")]

use std::ffi::{CStr, c_void};
use std::mem::zeroed;
use std::ptr::NonNull;

/// Addresses of all of these; none when this QEMU lacks one. A thread-local variable's is that of the calling thread's copy.
pub(crate) fn find<const N: usize>(names: [&CStr; N]) -> Option<[*mut c_void; N]> {
    // SAFETY: dlsym on the process itself, with a C string.
    let found = names.map(|name| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) });
    found.iter().all(|address| !address.is_null()).then_some(found)
}

/// Where the module is loaded in which this address lies: QEMU, a library, this plugin. None: it lies in no module.
pub(crate) fn module_of(address: *const c_void) -> Option<NonNull<c_void>> {
    // SAFETY: dladdr looks the address up and does not follow it; it fills the structure or leaves it.
    unsafe {
        let mut found: libc::Dl_info = zeroed();
        libc::dladdr(address, &raw mut found);
        NonNull::new(found.dli_fbase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_its_module() {
        let [allocate, free] = find([c"malloc", c"free"]).unwrap();
        assert!(module_of(allocate).is_some() && module_of(allocate) == module_of(free));
        assert_ne!(module_of(allocate), module_of(module_of as *const c_void), "the C library is another module");
        let heap = Box::new(0_u8);
        assert_eq!(module_of((&raw const *heap).cast()), None, "the heap is none");
    }

    #[test]
    fn all_or_none_are_found() {
        let addresses = find([c"malloc", c"free"]).unwrap();
        assert_ne!(addresses[0], addresses[1]);
        assert_eq!(find([c"malloc", c"no_such_function_of_qemu"]), None);
    }
}
