//! `seam-conform`: runs a TDX module as code and compares it with the model.

use clap::Parser;
use seam_conform::{Conformance, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let run = Conformance::load(&options).and_then(|mut conformance| conformance.run(&mut std::io::stdout()));
    match run {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let mut line = format!("seam-conform: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                line = format!("{line}: {next}");
                cause = next.source();
            }
            eprintln!("{line}");
            ExitCode::from(2)
        }
    }
}
