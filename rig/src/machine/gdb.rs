//! QEMU's gdb stub, for a person who wants to look at a machine.

use super::qmp::QmpError;
use super::started::Monitors;
use std::path::Path;

/// How QEMU answers when the stub listens (`hmp_gdbserver()` of `monitor/hmp-cmds.c`).
const LISTENS: &str = "Waiting for gdb connection";

impl Monitors {
    /// Stops the machine, and serves gdb on a socket at this path.
    pub async fn stop_for_gdb(&self, socket: &Path) -> Result<(), QmpError> {
        self.qmp.execute(qapi::qmp::stop {}).await?;
        let said = self.qmp.human(&format!("gdbserver unix:{},server=on,wait=off", socket.display())).await?;
        if said.starts_with(LISTENS) { Ok(()) } else { Err(QmpError::Refused(said.trim().to_owned())) }
    }

    /// Lets a machine that was stopped go on.
    pub async fn go_on(&self) -> Result<(), QmpError> {
        self.qmp.execute(qapi::qmp::cont {}).await.map(drop)
    }
}
