//! Threads that read attributes in loops.

use super::profile::Step;
use crate::files;
use rig_wire::agent::Failure;

/// `threads` for each of the paths, which are checked now; whether they can be read is found out by reading.
pub(super) fn steps(paths: &[String], threads: u32) -> Result<Vec<Step>, Failure> {
    let mut steps: Vec<Step> = Vec::new();
    for path in paths {
        files::allowed(path)?;
        for _ in 0..threads {
            let path = path.clone();
            steps.push(Box::new(move || files::read(&path).map(|_| 1).map_err(|failure| failure.what)));
        }
    }
    Ok(steps)
}
