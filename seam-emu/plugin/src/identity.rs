//! Which vCPU is running.
//!
//! With one thread per vCPU the callback's argument tells. With one thread for all, QEMU shares translated blocks between
//! vCPUs and folds the index of the vCPU that translated a block into it as a constant, so that the argument is wrong.
//! There QEMU's `current_cpu` is compared with `qemu_get_cpu(i)`; both are exported to plugins.

#![allow(unsafe_code, reason = "QEMU's variables and functions are looked up by name")]

use crate::exported;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null;
use std::sync::OnceLock;

/// How to tell the running vCPU.
pub(crate) enum Identity {
    /// By the callback's argument.
    Argument,
    /// By `current_cpu`.
    CurrentCpu { get: GetCpu, exit: ExitCpu, vcpus: c_int, known: OnceLock<Vec<usize>> },
}

type GetCpu = extern "C" fn(index: c_int) -> *mut c_void;
type ExitCpu = extern "C" fn(cpu: *mut c_void);

thread_local! {
    static CURRENT: Cell<*const usize> = const { Cell::new(null()) };
}

impl Identity {
    /// For the mode; fails when QEMU does not export what the single-thread mode needs.
    pub(crate) fn new(single_thread: bool, vcpus: usize) -> Result<Self, &'static str> {
        if !single_thread {
            return Ok(Self::Argument);
        }
        let [get, exit, _] = exported::find([c"qemu_get_cpu", c"cpu_exit", c"current_cpu"])
            .ok_or("this QEMU does not export current_cpu and cpu_exit, which deterministic mode needs")?;
        // SAFETY: `CPUState *qemu_get_cpu(int index)` and `void cpu_exit(CPUState *cpu)` of QEMU's hw/core/cpu.h.
        let (get, exit) = unsafe {
            (std::mem::transmute::<*mut c_void, GetCpu>(get), std::mem::transmute::<*mut c_void, ExitCpu>(exit))
        };
        let vcpus = c_int::try_from(vcpus).map_err(|_| "more vCPUs than QEMU can number")?;
        Ok(Self::CurrentCpu { get, exit, vcpus, known: OnceLock::new() })
    }

    /// Index of the running vCPU, inside a callback that was told `argument`.
    pub(crate) fn running(&self, argument: u32) -> usize {
        let Self::CurrentCpu { get, vcpus, known, .. } = self else { return argument as usize };
        let known = known.get_or_init(|| (0..*vcpus).map(|i| get(i) as usize).collect());
        let current = current_cpu();
        known
            .iter()
            .position(|cpu| *cpu == current)
            .unwrap_or_else(|| panic!("no vCPU is running in a vCPU's callback"))
    }

    /// Lets the next vCPU run when the running one goes on, rather than when its share of time is over. Only where one thread
    /// runs all: elsewhere the host's scheduler does it.
    pub(crate) fn give_way(&self) {
        if let Self::CurrentCpu { exit, .. } = self {
            exit(current_cpu() as *mut c_void);
        }
    }
}

/// Address of the vCPU that this thread runs.
pub(crate) fn current_cpu() -> usize {
    // SAFETY: `current_cpu` is a pointer-sized thread-local variable of QEMU; dlsym yields this thread's copy.
    unsafe {
        if CURRENT.get().is_null() {
            CURRENT.set(libc::dlsym(libc::RTLD_DEFAULT, c"current_cpu".as_ptr()) as *const usize);
        }
        *CURRENT.get()
    }
}
