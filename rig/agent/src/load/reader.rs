//! Threads that read attributes in loops.

use super::work::Step;
use crate::files;
use rig_wire::agent::Failure;

/// `threads` for each of the paths, which are checked now; whether they can be read is found out by reading. What is read
/// must be one of `only`, unless that is empty.
pub(super) fn steps(paths: &[String], threads: u32, only: &[String]) -> Result<Vec<Step>, Failure> {
    let mut steps: Vec<Step> = Vec::new();
    for path in paths {
        files::allowed(path)?;
        for _ in 0..threads {
            let (path, only) = (path.clone(), only.to_vec());
            steps.push(Box::new(move || read(&path, &only)));
        }
    }
    Ok(steps)
}

/// One reading is one operation.
fn read(path: &str, only: &[String]) -> Result<u64, String> {
    let bytes = files::read(path).map_err(|failure| failure.what)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    if only.is_empty() || only.iter().any(|allowed| allowed == text) {
        return Ok(1);
    }
    Err(format!("{path} holds {text:?}, which is none of {only:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/proc/sys/kernel/ostype";

    #[test]
    fn can_read_what_is_allowed_or_anything() {
        assert_eq!(read(FILE, &[]), Ok(1));
        assert_eq!(read(FILE, &["Other".into(), "Linux".into()]), Ok(1));
    }

    #[test]
    fn cannot_read_anything_else() {
        let error = read(FILE, &["Lin".into(), "Linux 2".into()]).unwrap_err();
        assert!(error.contains("holds \"Linux\""), "{error}");
    }
}
