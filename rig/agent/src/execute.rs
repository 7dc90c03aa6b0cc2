//! Running a program of the guest's file system for the rig.

use crate::failure;
use rig_wire::agent::{Executed, Failure, MAX_FRAME};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// So many bytes of each stream are returned, from its end: the last lines of a program usually say how it ended.
const MAX_OUTPUT: usize = (MAX_FRAME / 4) as usize;

/// One program at a time.
static RUNNING: Mutex<()> = Mutex::new(());

/// Runs a program to its end, with nothing on its standard input.
pub(crate) fn execute(program: &str, arguments: &[String]) -> Result<Executed, Failure> {
    if !Path::new(program).is_absolute() {
        return Err(failure::refused(libc::EINVAL, format_args!("{program:?} is no absolute path")));
    }
    let _one = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| failure::from_io(format_args!("run {program}"), &e))?;
    let code = output.status.code().ok_or_else(|| {
        failure::refused(libc::EINTR, format_args!("{program} ended without an exit code: {}", output.status))
    })?;
    Ok(Executed { code, stdout: tail(output.stdout), stderr: tail(output.stderr) })
}

/// Does something while no program begins or is under way; nothing if one is.
pub(crate) fn unless_running(work: impl FnOnce()) {
    if let Ok(_none) = RUNNING.try_lock() {
        work();
    }
}

fn tail(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.drain(..bytes.len().saturating_sub(MAX_OUTPUT));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_code_and_its_words() {
        let script = ["-c".to_owned(), "echo out; echo err >&2; exit 3".to_owned()];
        let executed = execute("/bin/sh", &script).unwrap();
        assert_eq!(executed, Executed { code: 3, stdout: b"out\n".into(), stderr: b"err\n".into() });
    }

    #[test]
    fn cannot_run_what_is_not_there_or_has_no_code() {
        assert_eq!(execute("/no/such/program", &[]).unwrap_err().errno, Some(libc::ENOENT));
        assert_eq!(execute("sh", &[]).unwrap_err().errno, Some(libc::EINVAL));
        let killed = ["-c".to_owned(), "kill -9 $$".to_owned()];
        assert_eq!(execute("/bin/sh", &killed).unwrap_err().errno, Some(libc::EINTR));
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut long = vec![b'x'; MAX_OUTPUT];
        long.extend(b"end");
        let kept = tail(long);
        assert!(kept.len() == MAX_OUTPUT && kept.ends_with(b"xend"));
    }
}
