//! `rig hw` as one static program, for hosts that have no Rust.

use clap::Parser;
use std::process::ExitCode;

/// Checks a TDX host, updates its TDX module under observation, and judges whether every CPU moved in lockstep.
#[derive(Parser)]
#[command(name = "rig-hw", version, about, max_term_width = 100, after_help = rig_hw::EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: rig_hw::HwCommand,
}

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => ExitCode::from(rig_hw::run(&arguments.command)),
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; clap knows which this is.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { rig_hw::Exit::Usage as u8 } else { 0 })
        }
    }
}
