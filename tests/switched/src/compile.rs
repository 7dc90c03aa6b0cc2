//! Calls of cargo on a tree.

use crate::tree::Tree;
use crate::trouble::Trouble;
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel};
use cargo_metadata::{Artifact, Message, MetadataCommand, Package};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What is compiled, and how.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The package.
    pub package: String,
    /// The profile of Cargo.toml.
    pub profile: String,
}

/// What cargo said.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The errors of the compiler. None if it has compiled.
    pub errors: Vec<Diagnostic>,
    /// Test programs: name of the target, and the program.
    pub programs: Vec<(TargetName, PathBuf)>,
}

/// A target with tests. The order is that in which they are run: a library's own tests first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetName {
    /// Whether it is a test of its own, and no library or program.
    pub is_integration: bool,
    /// Its name.
    pub name: String,
}

/// Finds the errors of a package and its tests, without a program.
pub fn check(tree: &Tree, recipe: &Recipe) -> Result<Compiled, Trouble> {
    cargo(tree, recipe, &["check", "--lib", "--bins", "--tests"])
}

/// Compiles the package's test programs.
pub fn build(tree: &Tree, recipe: &Recipe) -> Result<Compiled, Trouble> {
    cargo(tree, recipe, &["test", "--no-run", "--lib", "--bins", "--tests"])
}

fn cargo(tree: &Tree, recipe: &Recipe, arguments: &[&str]) -> Result<Compiled, Trouble> {
    let mut command = Command::new("cargo");
    command.args(arguments).args(["--message-format", "json", "--package", &recipe.package]);
    command.args(["--profile", &recipe.profile]).arg("--target-dir").arg(&tree.build).current_dir(&tree.root);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let failed = |cause: String| Trouble::Command { command: format!("cargo {}", arguments.join(" ")), cause };
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (stdout, stderr) = (child.stdout.take().expect("it is a pipe"), child.stderr.take().expect("it is a pipe"));
    let complaints = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let mut compiled = Compiled::default();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        match message.map_err(|error| failed(error.to_string()))? {
            Message::CompilerMessage(message) if message.message.level == DiagnosticLevel::Error => {
                compiled.errors.push(message.message);
            }
            Message::CompilerArtifact(artifact) if artifact.profile.test => compiled.programs.extend(program(artifact)),
            _ => {}
        }
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let complaints = complaints.join().expect("reading does not panic");
    if !status.success() && compiled.errors.is_empty() {
        return Err(failed(complaints));
    }
    compiled.programs.sort();
    Ok(compiled)
}

fn program(artifact: Artifact) -> Option<(TargetName, PathBuf)> {
    let is_integration = artifact.target.is_test();
    let name = TargetName { is_integration, name: artifact.target.name };
    artifact.executable.map(|path| (name, path.into_std_path_buf()))
}

/// The description of a package in the workspace of a tree.
pub fn package(tree: &Tree, name: &str) -> Result<Package, Trouble> {
    let metadata = MetadataCommand::new().current_dir(&tree.root).no_deps().exec();
    let metadata =
        metadata.map_err(|error| Trouble::Command { command: "cargo metadata".into(), cause: error.to_string() })?;
    let found = metadata.packages.into_iter().find(|package| package.name.as_str() == name);
    found.ok_or_else(|| Trouble::NoPackage(name.to_owned()))
}

/// The variables that `.cargo/config.toml` sets for programs that cargo starts.
pub fn environment(tree: &Tree) -> BTreeMap<String, String> {
    let text = tree.read(".cargo/config.toml").unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let variables = table.get("env").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    variables.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}
