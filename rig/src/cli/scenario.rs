//! `rig scenario`

use super::output;
use crate::scenario::{self, Demands, Scenario, catalogue};
use crate::trouble::Trouble;
use clap::Subcommand;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig scenario show shutdown-busy      the file of a scenario that comes with the rig
  cargo rig scenario check my-own.toml       whether `rig run` takes a file, without a machine
  cargo rig scenario --schema                the JSON Schema of scenario files, for an editor";

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(super) struct ScenarioArguments {
    /// Write the JSON Schema of scenario files to stdout
    #[arg(long)]
    schema: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the file of a scenario that comes with the rig, to start from.
    Show(Show),
    /// Read scenario files and say what they ask for; runs nothing.
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its name (`rig list` has all)
    name: String,
    /// Every key with its value, also those that the file leaves out
    #[arg(long)]
    all_keys: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &ScenarioArguments) -> Result<u8, Trouble> {
    if arguments.schema {
        output::text_line(scenario::schema().trim_end());
    }
    match &arguments.what {
        Some(What::Show(show)) => output::text_line(text(show)?.trim_end()),
        Some(What::Check(check)) => {
            for file in &check.files {
                let scenario = scenario::from_file(file)?;
                output::text_line(&format!("{}: {}", file.display(), summary(&scenario)));
            }
        }
        None => {}
    }
    Ok(0)
}

fn text(show: &Show) -> Result<String, Trouble> {
    if show.all_keys {
        let scenario = catalogue::named(&show.name)?;
        return Ok(scenario.to_toml());
    }
    catalogue::text(&show.name).map(str::to_owned)
}

/// What a scenario asks for, in one line.
fn summary(scenario: &Scenario) -> String {
    let Demands { held, .. } = scenario.demands();
    let names: Vec<&str> = held.iter().map(|invariant| invariant.name()).collect();
    let demands = if names.is_empty() { "no invariant by itself".to_owned() } else { names.join(", ") };
    let updates = if scenario.updates == 1 { "update" } else { "updates" };
    format!("{}, {} {updates} on {} CPUs; it demands {demands}", scenario.name, scenario.updates, scenario.cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_file_as_it_is_or_with_every_key() {
        let show = |name: &str, all_keys| text(&Show { name: name.into(), all_keys });
        let file = show("shutdown-busy", false).unwrap();
        assert_eq!(file, include_str!("../../../tests/scenarios/shutdown-busy.toml"));
        let full = show("shutdown-busy", true).unwrap();
        assert!(full.contains("keep_going = false"), "{full}");
        let read = |text: &str| scenario::from_text(text, "x.toml").unwrap();
        assert_eq!(read(&file), read(&full));
        assert!(show("shutdown-bsy", false).unwrap_err().help.contains("`shutdown-busy`"));
    }

    #[test]
    fn says_what_a_file_asks_for() {
        let text = "name = \"x\"\ncpus = 2\nexpect.held = [\"progress\"]";
        let scenario = scenario::from_text(text, "x.toml").unwrap();
        assert_eq!(summary(&scenario), "x, 1 update on 2 CPUs; it demands progress");
    }
}
