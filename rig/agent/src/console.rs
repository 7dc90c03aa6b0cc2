//! The agent's own messages, in the kernel's log: they reach the console in order with the kernel's, and the rig as
//! [`FromAgent::Kmsg`](rig_wire::agent::FromAgent::Kmsg).

use std::fs::OpenOptions;
use std::io::Write;

/// Says one line at error level, which `quiet` lets through. Falls back to the console when there is no `/dev/kmsg`.
pub(crate) fn say(line: &str) {
    let record = format!("<3>rig-agent: {line}\n");
    let logged = OpenOptions::new().write(true).open("/dev/kmsg").and_then(|mut log| log.write_all(record.as_bytes()));
    if logged.is_err() {
        // There is no other way to report a failure of this.
        let _ = writeln!(std::io::stderr(), "rig-agent: {line}");
    }
}
