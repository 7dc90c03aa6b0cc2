//! The rig's agent: PID 1 of the guest, a static program.
//!
//! It mounts the kernel's file systems, loads the modules that `/lib/modules/rig/boot` lists, finds the virtio-serial port
//! of the rig by its name, says [`Ready`](rig_wire::agent::Ready) and serves requests until the rig asks it to power off.
//! It never exits and never fails silently: whatever goes wrong is said in the kernel's log, and the machine powers off.
//!
//! Its loads and its upload serve `rig hw` on a real host, too.

mod blocked;
mod channel;
mod console;
mod cpu;
mod enter;
mod exchange;
mod execute;
mod failure;
mod files;
mod gate;
mod kmsg;
mod load;
mod machine;
mod modules;
mod port;
mod power;
mod prelude;
mod raw;
mod ready;
mod rest;
mod scripted;
mod serve;
mod setup;
mod tds;
mod update;

pub use load::Loads;
pub use machine::Machine;
pub use update::upload;

use std::process::ExitCode;

/// PID 1. Elsewhere it says so and does nothing.
pub fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("rig-agent is PID 1 of the rig's guest machine and does nothing elsewhere");
        eprintln!("start it through the rig: cargo rig run");
        return ExitCode::from(2);
    }
    power::off_on_panic();
    let why = match run() {
        Ok(()) => "asked to power off".to_owned(),
        Err(failure) => format!("cannot go on: {}", failure.what),
    };
    console::say(&why);
    power::off()
}

/// The whole life of the agent. Returns when the rig asks for power-off.
fn run() -> Result<(), rig_wire::agent::Failure> {
    setup::mount_all()?;
    setup::load_boot_modules();
    if let Some(stream) = exchange::Exchange::find() {
        return serve::serve_exchange(stream);
    }
    let port = port::open(rig_wire::agent::PORT_NAME)?;
    serve::serve_port(&port)
}
