//! The `rig` program.

fn main() -> std::process::ExitCode {
    rig::cli::main()
}
