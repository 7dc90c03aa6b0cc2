//! A Debian without Rust and without the host's files, to try in it what is to run elsewhere.

use crate::lock::TempDir;
use crate::sandbox::Sandbox;
use crate::{Images, ImagesError, buildroot};
use std::path::Path;

impl Images {
    /// Runs a program of that Debian with `folder` shown as `/src`; its output, line by line. Fails if the program does.
    pub fn run_in_debian(&self, folder: &Path, argv: &[&str]) -> Result<Vec<String>, ImagesError> {
        let root = buildroot::entry(self.cache(), self.progress())?;
        let temp = TempDir::new(&self.cache().folder("tmp"), "debian")?;
        let mut lines = Vec::new();
        let mut sandbox = Sandbox::new(&root.path)?;
        sandbox.bind(folder, "/src").run(&temp, None, argv, |line| lines.push(line.to_owned()))?;
        Ok(lines)
    }
}
