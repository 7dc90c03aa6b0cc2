//! Licences of the crates that are linked into the static programs, as cargo knows them.

use super::packed::Packed;
use crate::trouble::Trouble;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs of the archive.
const PROGRAMS: [&str; 2] = ["rig-hw", "rig-agent"];
/// How files with a licence's text are called.
const TEXTS: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT"];

/// `cargo metadata --format-version 1`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None: of this workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Debug, Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

/// `kind` is null for what is linked; `dev` and `build` are not.
#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

/// A list of them, and the texts that lie in their sources.
pub(super) fn of_dependencies(workspace: &Path) -> Result<Vec<Packed>, Trouble> {
    let help = "install cargo, and let it fetch the dependencies once (cargo fetch)";
    let failed = |why: String| Trouble::environment(format!("cargo does not list the dependencies: {why}"), help);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = command.current_dir(workspace).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        return Err(failed(said));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))?;
    let linked = metadata.linked();
    let mut all = vec![Packed { path: "licences/DEPENDENCIES.md".into(), program: false, bytes: list(&linked).into() }];
    for package in linked {
        all.extend(texts(package));
    }
    Ok(all)
}

impl Metadata {
    /// Crates from elsewhere that end up in the programs, by name.
    fn linked(&self) -> Vec<&Package> {
        let nodes: BTreeMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let roots = self.packages.iter().filter(|p| p.source.is_none() && PROGRAMS.contains(&p.name.as_str()));
        let mut open: Vec<&str> = roots.map(|package| package.id.as_str()).collect();
        let mut visited = BTreeSet::new();
        while let Some(id) = open.pop() {
            if visited.insert(id) {
                let is_linked = |dep: &&Dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
                let deps = nodes.get(id).into_iter().flat_map(|node| &node.deps);
                open.extend(deps.filter(is_linked).map(|dep| dep.pkg.as_str()));
            }
        }
        let mut linked: Vec<&Package> =
            self.packages.iter().filter(|p| p.source.is_some() && visited.contains(p.id.as_str())).collect();
        linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        linked
    }
}

fn list(linked: &[&Package]) -> String {
    let mut text = "# Crates in bin/rig-hw and bin/rig-agent\n\nTheir texts lie beside this file.\n\n".to_owned();
    text += "| crate | version | licence |\n| --- | --- | --- |\n";
    let row = |package: &&Package| {
        let licence = package.license.as_deref().unwrap_or("see its text");
        format!("| {} | {} | {licence} |", package.name, package.version)
    };
    text += &linked.iter().map(row).collect::<Vec<_>>().join("\n");
    text + "\n"
}

/// The licence files of a crate's source.
fn texts(package: &Package) -> Vec<Packed> {
    let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
    let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.retain(|file| file.is_file() && TEXTS.iter().any(|text| name(file).to_uppercase().starts_with(text)));
    let pack = |file: PathBuf| {
        let path = format!("licences/crates/{}-{}/{}", package.name, package.version, name(&file));
        Some(Packed { path, program: false, bytes: fs::read(file).ok()? })
    };
    files.into_iter().filter_map(pack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str, source: Option<&str>| {
            serde_json::json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": source,
                "manifest_path": "/none/Cargo.toml" })
        };
        let dep = |name: &str, kind: Option<&str>| serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = serde_json::json!({
            "packages": [package("rig-hw", None), package("ours", None), package("linked", Some("r")),
                package("tests", Some("r")), package("elsewhere", Some("r"))],
            "resolve": { "nodes": [
                { "id": "rig-hw", "deps": [dep("ours", None), dep("tests", Some("dev"))] },
                { "id": "ours", "deps": [dep("linked", None)] },
                { "id": "linked", "deps": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let linked = metadata.linked();
        assert_eq!(linked.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["linked"]);
        assert!(list(&linked).contains("| linked | 1.0.0 | MIT |"));
    }
}
