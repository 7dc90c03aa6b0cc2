//! What the host must have: only what every Debian-like machine with Rust has.

use crate::ImagesError;
use crate::tools::{NEEDED, cargo_path, find};

/// Programs of the host that are needed and missing; empty when all is well.
pub fn missing_host_tools() -> Vec<String> {
    let mut missing: Vec<String> =
        NEEDED.iter().map(|(tool, _)| *tool).filter(|tool| find(tool).is_none()).map(String::from).collect();
    if cargo_path().is_none() {
        missing.push("cargo".into());
    }
    missing
}

/// An error that names those of `tools` that this host lacks.
pub(crate) fn require(tools: &[&str]) -> Result<(), ImagesError> {
    let missing: Vec<String> = tools.iter().filter(|tool| find(tool).is_none()).map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(ImagesError::MissingHostTools(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_mends_it() {
        assert!(require(&["sh"]).is_ok());
        let error = require(&["sh", "no-such-program"]).unwrap_err();
        assert_eq!(error.to_string(), "this host lacks no-such-program");
        let error = ImagesError::MissingHostTools(vec!["apt-get".into(), "apt-cache".into(), "unshare".into()]);
        assert_eq!(error.remedy(), "on Debian or Ubuntu: apt-get install apt util-linux");
    }
}
