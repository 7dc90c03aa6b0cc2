//! The commands that the documents show are ones that the command line takes.

use super::Arguments;
use crate::scenario::{Subject, Tag, catalogue};
use clap::{CommandFactory, Parser};
use rig_wire::agent::Load;
use std::path::{Path, PathBuf};

/// Documents, from the root of the repository.
const TOP: [&str; 4] = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"];

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each document with its name.
fn documents() -> Vec<(String, String)> {
    let below = walkdir::WalkDir::new(root().join("docs")).into_iter().map(|entry| entry.unwrap().into_path());
    let pages = below.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let all = TOP.iter().map(|name| root().join(name)).chain(pages);
    all.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// The lines of the blocks of code, with continued lines joined and comments left out; and the text without the blocks.
fn split(text: &str) -> (Vec<String>, String) {
    let (mut commands, mut prose, mut inside) = (Vec::new(), String::new(), false);
    for line in text.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            commands.push(line.split(" #").next().unwrap().trim().to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    (commands, prose)
}

/// The words of a command of the rig that a line of a shell has, as the command line of `rig`.
pub(super) fn rig_words(line: &str) -> Option<Vec<String>> {
    let after = |marker: &str| line.split_once(marker).map(|(_, rest)| rest);
    let (first, rest) = match after("cargo rig ") {
        Some(rest) => (vec!["rig"], rest),
        None => (vec!["rig", "hw"], after("rig-hw ")?),
    };
    let end = rest.find(['|', '>', ';', '&', '`']).unwrap_or(rest.len());
    let words = rest[..end].split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    Some(first.into_iter().chain(words).map(str::to_owned).collect())
}

/// What is wrong with the subcommand and the flags of a command, of which the rest may be left out.
pub(super) fn unknown(words: &[String]) -> Option<String> {
    let mut command = Arguments::command();
    command.build();
    let mut words = words.iter().skip(1).peekable();
    while let Some(inner) = words.peek().and_then(|word| command.find_subcommand(word.as_str())) {
        command = inner.clone();
        words.next();
    }
    if command.get_name() == "rig" && words.peek().is_some_and(|word| !word.starts_with('-')) {
        return Some(format!("there is no command `{}`", words.next().unwrap()));
    }
    let flag = |word: &String| word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap().to_owned());
    let is_known = |flag: &String| command.get_arguments().any(|argument| argument.get_long() == Some(flag.as_str()));
    let foreign = words.filter_map(flag).find(|flag| !is_known(flag))?;
    Some(format!("`{}` has no flag `--{foreign}`", command.get_name()))
}

#[test]
fn blocks_of_code_have_commands_that_the_command_line_takes() {
    let mut count = 0;
    for (name, text) in documents() {
        for line in split(&text).0 {
            let Some(words) = rig_words(&line).filter(|_| line.starts_with("cargo rig ")) else { continue };
            count += 1;
            if let Err(error) = Arguments::try_parse_from(&words) {
                assert!(!error.use_stderr(), "{name}: {line}: {error}");
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn commands_within_sentences_name_commands_and_flags_that_exist() {
    let mut count = 0;
    for (name, text) in documents() {
        let (blocks, prose) = split(&text);
        let prose = prose.replace('\n', " ");
        let inline = prose.split('`').skip(1).step_by(2);
        let others = blocks.iter().map(String::as_str).filter(|line| line.contains("rig-hw "));
        let is_ours = |line: &&str| ["cargo rig ", "rig-hw "].iter().any(|start| line.contains(start));
        for line in inline.chain(others).filter(is_ours) {
            count += 1;
            let words = rig_words(line).unwrap();
            if let Some(why) = unknown(&words) {
                panic!("{name}: {line}: {why}");
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    let why = |line: &str| unknown(&rig_words(line).unwrap());
    assert_eq!(why("cargo rig run NAME --cpus 4 --kernel=x"), None);
    assert_eq!(why("sudo rig-hw update --yes"), None);
    assert_eq!(why("cargo rig rum --cpus 4").unwrap(), "there is no command `rum`");
    assert_eq!(why("cargo rig run --cpu 4").unwrap(), "`run` has no flag `--cpu`");
    assert_eq!(split("a\n```sh\ncargo rig run \\\n  x # comment\n```\nb").0, ["cargo rig run    x"]);
}

#[test]
fn documents_have_the_numbers_of_the_catalogue() {
    let [quick, full, night] = [Tag::Quick, Tag::Full, Tag::Night].map(catalogue::suite);
    let is_made_by_a_module =
        |load: &Load| matches!(load, Load::Seamcall { .. } | Load::TrustDomain { .. } | Load::ModuleLoop { .. });
    let needing = |suite: &[crate::scenario::Scenario]| {
        suite.iter().filter(|s| s.subject == Subject::Kmod || s.load.iter().any(is_made_by_a_module)).count()
    };
    let (few, many) = (needing(&quick), needing(&full));
    let (quick, full, night) = (quick.len(), full.len(), night.len());
    for (page, text) in [
        ("README.md", format!("the catalogue: {night} scenarios")),
        ("docs/how-to/ci.md", format!("| `quick` | {quick} scenarios")),
        ("docs/how-to/ci.md", format!("| `full` | {full} scenarios")),
        ("docs/how-to/ci.md", format!("| `night` | all {night} |")),
        ("docs/how-to/own-kernel.md", format!("{few} of {quick} scenarios; in `full` {many} of {full} need a module")),
    ] {
        let page_text = std::fs::read_to_string(root().join(page)).unwrap();
        let words: Vec<&str> = page_text.split_whitespace().collect();
        assert!(words.join(" ").contains(&text), "{page} lacks: {text}");
    }
}
