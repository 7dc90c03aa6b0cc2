//! The threads of a run.

use crate::trouble::Trouble;
use tokio::runtime::{Builder, Runtime};

/// Threads for one machine and all that is watched of it.
pub(crate) fn runtime() -> Result<Runtime, Trouble> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let help = "check the limits on threads and open files (ulimit -a)";
    runtime.map_err(|e| Trouble::environment(format!("cannot start threads: {e}"), help))
}
