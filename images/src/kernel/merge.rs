//! Lines for somebody else's configuration, merged by the kernel's own script.

use super::compiler::WantedCompiler;
use super::ground::{is_source, source_of};
use super::{Fragment, KernelConfig};
use crate::{ImagesError, host, run, tools};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script, from the root of the source.
const SCRIPT: &str = "scripts/kconfig/merge_config.sh";

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedConfig {
    /// Options whose values are different now, a line each.
    pub changes: Vec<String>,
    /// Lines that Kconfig did not take.
    pub refused: Vec<String>,
}

/// Merges what the build folder `tree` lacks of `fragments` into its `.config`, or, if `whole`, all that they say.
///
/// What was there before is in `.config.old` afterwards. Kconfig is built and run by this host's programs.
pub fn merge_config(tree: &Path, fragments: &[Fragment], whole: bool) -> Result<MergedConfig, ImagesError> {
    let tree = tree.canonicalize().map_err(ImagesError::io(tree))?;
    let (path, source) = (tree.join(".config"), source_of(&tree));
    if !is_source(&source) {
        return Err(ImagesError::NoKernelSource(tree));
    }
    if !path.is_file() {
        return Err(ImagesError::NoConfig(tree));
    }
    let text = fs::read_to_string(&path).map_err(ImagesError::io(&path))?;
    let before = KernelConfig::parse(&text);
    let lines = if whole { all(fragments) } else { before.lacks(fragments) };
    if lines.is_empty() {
        return Ok(MergedConfig { changes: Vec::new(), refused: Vec::new() });
    }
    let compiler = WantedCompiler::of(&text).and_then(|wanted| wanted.on_host().ok()).unwrap_or_default();
    if let Err(error) = merge(&tree, &source, &lines, &compiler) {
        fs::write(&path, &text).map_err(ImagesError::io(&path))?;
        return Err(error);
    }
    // Kconfig keeps there what the script had merged.
    let old = tree.join(".config.old");
    fs::write(&old, &text).map_err(ImagesError::io(&old))?;
    let merged = fs::read_to_string(&path).map_err(ImagesError::io(&path))?;
    let after = KernelConfig::parse(&merged);
    let refused = if whole { Fragment::unmet(fragments, &merged) } else { after.lacks(fragments) };
    Ok(MergedConfig { changes: before.changes(&after), refused })
}

fn all(fragments: &[Fragment]) -> Vec<String> {
    fragments.iter().flat_map(Fragment::demands).map(str::to_owned).collect()
}

fn merge(tree: &Path, source: &Path, lines: &[String], compiler: &[String]) -> Result<(), ImagesError> {
    host::require(&["make"])?;
    let fragment = tree.join(".config.seamrig");
    let _removed = Removed(fragment.clone());
    fs::write(&fragment, lines.join("\n") + "\n").map_err(ImagesError::io(&fragment))?;
    let mut script = command("sh", source);
    script.arg(SCRIPT).args(["-m", "-Q", "-O"]).arg(tree).arg(tree.join(".config")).arg(&fragment);
    host_run(script)?;
    let mut make = command("make", source);
    if tree != source {
        make.arg(format!("O={}", tree.display()));
    }
    make.args(compiler).arg("olddefconfig");
    host_run(make)
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(tools::find(program).unwrap_or_else(|| program.into()));
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

fn host_run(command: Command) -> Result<(), ImagesError> {
    let nothing = Path::new("/dev/null");
    run::run(command, File::open(nothing).map_err(ImagesError::io(nothing))?, None, |_| ())
}

/// A file that is removed when this value goes.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may not have been written.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose script appends the fragment, and whose `olddefconfig` drops an option that it does not know.
    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Kbuild", "");
        write("scripts/Makefile.build", "");
        write("Makefile", "olddefconfig:\n\tsed -i /CONFIG_UNKNOWN/d .config\n");
        write(SCRIPT, "cat \"$6\" >> \"$5\"\n");
        write(".config", "CONFIG_SMP=y\n");
        folder
    }

    #[test]
    fn what_was_taken_and_what_was_not_are_named() {
        let tree = tree();
        let text = "CONFIG_SMP=y\nCONFIG_ACPI=y\nCONFIG_UNKNOWN=y\n";
        let fragments = [Fragment { name: "a".into(), text: text.into() }];
        let merged = merge_config(tree.path(), &fragments, false).unwrap();
        assert_eq!(merged.changes, ["CONFIG_ACPI: not set -> y"]);
        assert_eq!(merged.refused, ["CONFIG_UNKNOWN=y"]);
        let whole = merge_config(tree.path(), &fragments, true).unwrap();
        assert_eq!((whole.changes.len(), whole.refused), (0, vec!["CONFIG_UNKNOWN=y".to_owned()]));
        assert!(!tree.path().join(".config.seamrig").exists());
        assert!(tree.path().join(".config.old").is_file());
    }

    #[test]
    fn a_merge_that_fails_leaves_the_configuration_as_it_was() {
        let tree = tree();
        fs::write(tree.path().join("Makefile"), "olddefconfig:\n\tfalse\n").unwrap();
        let fragments = [Fragment { name: "a".into(), text: "CONFIG_ACPI=y\n".into() }];
        assert!(merge_config(tree.path(), &fragments, false).is_err());
        assert_eq!(fs::read_to_string(tree.path().join(".config")).unwrap(), "CONFIG_SMP=y\n");
    }

    #[test]
    fn without_a_source_or_a_configuration_nothing_is_done() {
        let tree = tree();
        fs::remove_file(tree.path().join(".config")).unwrap();
        assert!(matches!(merge_config(tree.path(), &[], false), Err(ImagesError::NoConfig(_))));
        fs::remove_file(tree.path().join("Kbuild")).unwrap();
        assert!(matches!(merge_config(tree.path(), &[], false), Err(ImagesError::NoKernelSource(_))));
    }
}
