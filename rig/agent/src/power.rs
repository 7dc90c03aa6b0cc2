//! The end of the machine.

use crate::console;
use nix::sys::reboot::{RebootMode, reboot};
use std::thread;

/// Syncs and powers off. A machine that cannot be powered off stays, parked: PID 1 must not return.
pub(crate) fn off() -> ! {
    nix::unistd::sync();
    let Err(errno) = reboot(RebootMode::RB_POWER_OFF);
    console::say(&format!("power-off failed: {}", errno.desc()));
    loop {
        thread::park();
    }
}

/// Makes every panic of every thread a line on the console and a power-off.
pub(crate) fn off_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        console::say(&panic.to_string().replace('\n', ": "));
        off()
    }));
}
