//! Running the programs that do the work, line by line, and making sense of how they fail.

use crate::ImagesError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Lines kept for finding the cause of a failure.
const TAIL_LINES: usize = 200;

/// Runs `command`, gives each line of its output to `on_line`, and writes them to `log` when there is one.
///
/// `hold` becomes its standard input, so that a temporary folder stays locked while any descendant runs.
pub(crate) fn run(
    mut command: Command,
    hold: File,
    log: Option<&Path>,
    mut on_line: impl FnMut(&str),
) -> Result<(), ImagesError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe().map_err(ImagesError::io(&program))?;
    let both = writer.try_clone().map_err(ImagesError::io(&program))?;
    command.stdin(hold).stdout(Stdio::from(writer)).stderr(Stdio::from(both));
    let mut child = command.spawn().map_err(ImagesError::io(&program))?;
    drop(command); // It holds the writing end, without whose closing there is no end of output.
    let mut log_file = log.map(open_log).transpose()?;
    let mut tail = VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(ImagesError::io(&program))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        on_line(&line);
        if let (Some(file), Some(path)) = (&mut log_file, log) {
            writeln!(file, "{line}").map_err(ImagesError::io(path))?;
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().map_err(ImagesError::io(&program))?;
    if status.success() {
        return Ok(());
    }
    let tail: Vec<String> = tail.into();
    Err(failure(&program, &format!("{status}"), &tail, log))
}

fn open_log(path: &Path) -> Result<File, ImagesError> {
    File::options().create(true).append(true).open(path).map_err(ImagesError::io(path))
}

fn failure(program: &str, status: &str, tail: &[String], log: Option<&Path>) -> ImagesError {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(line) = tail.iter().find(|line| line.contains("No space left on device")) {
        return ImagesError::DiskFull(full_disk(line, log));
    }
    let detail = cause(tail).unwrap_or(status).trim().to_owned();
    ImagesError::Program { program: name, detail, log: log.map(PathBuf::from) }
}

/// The folder to name when a program says that the disk is full.
fn full_disk(line: &str, log: Option<&Path>) -> PathBuf {
    log.and_then(Path::parent).map_or_else(|| PathBuf::from(line.trim()), PathBuf::from)
}

/// The first line that speaks of an error, else the last one.
pub(crate) fn cause(lines: &[String]) -> Option<&str> {
    let speaks = |line: &&String| {
        let line = line.to_lowercase();
        let begins = line.starts_with("error") || line.starts_with("e: ");
        begins
            || line.contains("error:")
            || line.contains("cannot ")
            || line.contains(": not found")
            || line.contains("not found (required by")
    };
    let says_something = |line: &&String| !line.trim().is_empty() && !line.contains(": Leaving directory ");
    lines.iter().find(speaks).or_else(|| lines.iter().rfind(says_something)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Vec<String>, ImagesError> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        run(command, File::open("/dev/null").unwrap(), None, |line| lines.push(line.to_owned()))?;
        Ok(lines)
    }

    #[test]
    fn can_read_both_streams() {
        assert_eq!(shell("echo a; echo b >&2; printf c").unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn cannot_pass_a_failure() {
        let error = shell("echo fine; echo 'x.c:1: error: no such thing'; echo make: stop; exit 2").unwrap_err();
        assert_eq!(error.to_string(), "sh failed: x.c:1: error: no such thing");
        let of_make = ["make[1]: *** [x.o] Error 1", "make: Leaving directory '/src'"].map(String::from);
        assert_eq!(cause(&of_make), Some("make[1]: *** [x.o] Error 1"));
        let loader =
            ["objtool: version `GLIBC_2.38' not found (required by objtool)", of_make[0].as_str()].map(String::from);
        assert_eq!(cause(&loader), Some(loader[0].as_str()));
        let error = self::shell("exit 3").unwrap_err();
        assert_eq!(error.to_string(), "sh failed: exit status: 3");
    }

    #[test]
    fn a_full_disk_is_its_own_error() {
        let error = shell("echo 'tar: x: Cannot write: No space left on device'; exit 2").unwrap_err();
        assert!(matches!(error, ImagesError::DiskFull(_)), "{error}");
    }
}
