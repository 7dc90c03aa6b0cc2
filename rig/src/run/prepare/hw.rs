//! What the rehearsal of real hardware needs in the guest: the program for TDX hosts, and images for it.

use crate::releases;
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use rig_images::Images;

/// The program in the guest.
pub(crate) const PROGRAM: &str = "bin/rig-hw";
/// Where the images are, as the release repository has them.
const IMAGES: &str = "hw";
/// Updates whose images are there.
const UPDATES: u32 = 3;

/// What orders need in the guest's file system.
pub(crate) fn files(images: &Images, scenario: &Scenario) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    if scenario.hw.is_empty() {
        return Ok(Vec::new());
    }
    let program = images.hw()?;
    let bytes = std::fs::read(&program).map_err(|e| Trouble::file("read", &program, &e))?;
    let mut files = vec![(PROGRAM.to_owned(), bytes)];
    let releases = releases::files(scenario, UPDATES)?;
    files.extend(releases.into_iter().map(|(name, bytes)| (format!("{IMAGES}/{name}"), bytes)));
    Ok(files)
}
