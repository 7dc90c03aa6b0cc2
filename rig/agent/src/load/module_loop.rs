//! A kernel module that comes and goes.

use super::work::Step;
use crate::modules;
use std::thread;
use std::time::Duration;

/// It interrupts all CPUs and makes a SEAMCALL when it is loaded.
const MODULE: &str = "tdx_raw";

/// One thread. Loading and unloading is one operation.
pub(super) fn steps(pause_ms: u32) -> Vec<Step> {
    let pause = Duration::from_millis(pause_ms.into());
    vec![Box::new(move || {
        modules::load(MODULE, "").map_err(|failure| failure.what)?;
        thread::sleep(pause);
        modules::unload(MODULE).map_err(|failure| failure.what)?;
        Ok(1)
    })]
}
