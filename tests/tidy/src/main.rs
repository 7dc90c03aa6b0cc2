//! Prints figures of this repository: `cargo run -p tidy`. With `entries`, what is there today as entries of `allowed.toml`.

use std::path::Path;
use std::process::ExitCode;
use tidy::graph::Lost;
use tidy::load::load;
use tidy::report;
use tidy::workspace::Workspace;

/// Rows of the tables of the largest.
const ROWS: usize = 15;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let wants_entries = std::env::args().nth(1).is_some_and(|argument| argument == "entries");
    let text = load(&root).map_err(|error| error.to_string()).and_then(|workspace| {
        let text = if wants_entries { report::entries(&workspace) } else { figures(&workspace) };
        text.map_err(|error| error.to_string())
    });
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(cause) => {
            eprintln!("tidy: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn figures(workspace: &Workspace) -> Result<String, Lost> {
    let parts = [
        ("Modules of each library and program", report::modules(workspace)?),
        ("Cycles of modules, with their arrows", report::cycles(workspace)?),
        ("Longest files, in lines without their tests", report::files(workspace, ROWS)),
        ("Longest functions, in lines", report::functions(workspace, ROWS)),
        ("Most public fields", report::fields(workspace, ROWS)),
        ("Names that several public types of one crate have", report::homonyms(workspace)),
        ("Types whose methods (or homonyms' methods) are written in several modules", report::spread(workspace)?),
        ("Private words in identifiers", report::words(workspace)),
    ];
    Ok(parts.map(|(title, text)| format!("{title}\n\n{text}\n")).concat())
}
