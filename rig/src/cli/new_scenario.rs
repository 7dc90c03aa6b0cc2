//! `rig new-scenario`

use super::output;
use crate::scenario;
use crate::trouble::Trouble;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct NewScenarioArguments {
    /// Its name, of a-z, 0-9 and '-'; the file is called NAME.toml
    name: String,
    /// Folder for the file
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &NewScenarioArguments) -> Result<u8, Trouble> {
    let path = write(&arguments.name, &arguments.folder)?;
    output::text_line(&format!("{0} is written; `cargo rig run {0}` runs it", path.display()));
    Ok(0)
}

/// Writes a commented scenario file; never over one that exists.
fn write(name: &str, folder: &Path) -> Result<PathBuf, Trouble> {
    let path = folder.join(format!("{name}.toml"));
    let text = scenario::commented(name);
    // A name that no scenario can have is refused before a file is there.
    scenario::from_text(&text, &path.display().to_string())?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            Trouble::usage(format!("{} exists already", path.display()), "choose another name, or remove that file")
        }
        _ => Trouble::file("write", &path, &e),
    })?;
    file.write_all(text.as_bytes()).map_err(|e| Trouble::file("write", &path, &e))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_one_that_can_be_run_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = write("my-own", folder.path()).unwrap();
        assert_eq!(scenario::from_file(&path).unwrap().name, "my-own");
        assert!(write("my-own", folder.path()).unwrap_err().cause.ends_with("exists already"));
        assert!(write("My_Own", folder.path()).unwrap_err().cause.contains("`name`"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
