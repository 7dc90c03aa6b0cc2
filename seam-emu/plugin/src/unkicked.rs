//! Keeps QEMU's own threads from interrupting the vCPUs of a deterministic machine.
//!
//! QEMU frees some of its tables when no thread reads them any more (RCU). When the thread that runs the vCPUs reads for too long, it is
//! kicked: the running vCPU ends its turn at a moment that the host chose, and others run earlier than in the run
//! before (seen in one repetition of twelve on a busy host). That thread stops reading by itself at every turn, so nothing is lost when it is not
//! kicked.

#![allow(unsafe_code, reason = "QEMU's functions are looked up by name, and its list is a C structure")]

use crate::exported::{self, module_of};
use std::ffi::c_void;

type GetReader = extern "C" fn() -> *mut c_void;
type RemoveNotifier = extern "C" fn(notifier: *mut c_void);

/// Offset of `force_rcu` in `struct rcu_reader_data` of QEMU 11.1's include/qemu/rcu.h: a list head, which is a pointer to
/// the first `Notifier`, whose first word is its function.
const FORCE_RCU: usize = 32;

/// Ends the kicks for the calling thread, which runs the vCPUs. Without kicks it does nothing. The error says what this QEMU lacks.
pub(crate) fn keep_turns() -> Result<(), &'static str> {
    let [get, remove] = exported::find([c"get_ptr_rcu_reader", c"rcu_remove_force_rcu_notifier"])
        .ok_or("this QEMU does not export its RCU, whose kicks would spoil a deterministic run")?;
    // SAFETY: functions of these names have these types since QEMU 6.2.
    let (get, take_off) = unsafe {
        (std::mem::transmute::<*mut c_void, GetReader>(get), std::mem::transmute::<*mut c_void, RemoveNotifier>(remove))
    };
    // SAFETY: this thread's own reader, which lives as long as the thread, and is larger than that.
    let notifier = unsafe { get().byte_add(FORCE_RCU).cast::<*mut c_void>().read() };
    if notifier.is_null() {
        return Ok(());
    }
    // SAFETY: a list of notifiers, if the structure is the expected one; that its function lies in QEMU is checked before it is used.
    let function = unsafe { notifier.cast::<*mut c_void>().read() };
    if module_of(function) != module_of(remove) {
        return Err("the RCU of this QEMU is not that of QEMU 11.1");
    }
    take_off(notifier);
    Ok(())
}
