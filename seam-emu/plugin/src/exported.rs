//! What QEMU exports beside its plugin interface, by name. What a name's type is, its user has to know.

#![allow(unsafe_code, reason = "symbols are looked up in the process")]

use std::ffi::{CStr, c_void};

/// Addresses of all of these; none when this QEMU lacks one. A thread-local variable's is that of the calling thread's copy.
pub(crate) fn find<const N: usize>(names: [&CStr; N]) -> Option<[*mut c_void; N]> {
    // SAFETY: dlsym on the process itself, with a C string.
    let found = names.map(|name| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) });
    found.iter().all(|address| !address.is_null()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none_are_found() {
        let addresses = find([c"malloc", c"free"]).unwrap();
        assert_ne!(addresses[0], addresses[1]);
        assert_eq!(find([c"malloc", c"no_such_function_of_qemu"]), None);
    }
}
