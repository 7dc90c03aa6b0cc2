//! `cargo run -p switched-mutants -- PACKAGE`: how many of cargo-mutants' mutants the tests of a crate notice.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use switched_mutants::compile::Recipe;
use switched_mutants::measure::{Request, measure};
use switched_mutants::record::Outcome;
use switched_mutants::report;
use switched_mutants::suite::Patience;

/// Measures a crate's tests by the mutants of cargo-mutants.
#[derive(Debug, Parser)]
struct Arguments {
    /// The package.
    package: String,
    /// The root of its workspace.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The profile of Cargo.toml with which it is compiled.
    #[arg(long, default_value = "mutants")]
    profile: String,
    /// A file made by `cargo mutants --list --json`, instead of a new list.
    #[arg(long)]
    list: Option<PathBuf>,
    /// Only mutants with this in their names (repeatable).
    #[arg(long)]
    only: Vec<String>,
    /// How many mutants are run at a time.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// A test may use as much processor time as the slowest that is run with it takes without a mutant, this many times.
    #[arg(long, default_value_t = 5)]
    factor: u32,
    /// A test may use at least that many seconds of processor time.
    #[arg(long, default_value_t = 3)]
    at_least_s: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = match arguments.root.canonicalize() {
        Ok(root) => root,
        Err(cause) => {
            eprintln!("switched-mutants: {}: {cause}", arguments.root.display());
            return ExitCode::FAILURE;
        }
    };
    let Arguments { package, profile, list, only, workers, .. } = arguments;
    let request = Request {
        results: root.join("runs/switched").join(&package).join("results.jsonl"),
        scratch: root.join("target/switched"),
        root,
        recipe: Recipe { package, profile },
        list,
        only,
        workers: workers.max(1),
        patience: Patience { factor: arguments.factor, at_least: Duration::from_secs(arguments.at_least_s) },
    };
    match measure(&request, &|line| eprintln!("{line}")) {
        Ok(measured) => {
            println!("{}", report::table(&measured));
            print!("Timed out:\n{}", report::names(&measured, Outcome::TimedOut));
            print!("Missed:\n{}", report::names(&measured, Outcome::Missed));
            ExitCode::SUCCESS
        }
        Err(cause) => {
            eprintln!("switched-mutants: {cause}");
            ExitCode::FAILURE
        }
    }
}
