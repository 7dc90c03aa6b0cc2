//! The terminal of the person at the rig, connected to one of the guest.

use crate::trouble::Trouble;
use nix::sys::signal::{Signal, raise};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use tempfile::TempDir;

/// Ctrl-], as in telnet and virsh: the way out that no program of the guest can take.
const WAY_OUT: u8 = 0x1d;
/// Rows and columns of a terminal that does not tell.
const USUAL_SIZE: (u16, u16) = (24, 80);

/// The terminal of the person. Dropping it gives it back as it was.
pub(super) struct LocalTerminal {
    folder: TempDir,
    /// Its settings, as stty writes and reads them.
    before: String,
}

impl LocalTerminal {
    /// Waits at a socket for a machine that connects a terminal of its guest's. With the guest's first word the terminal is its.
    pub(super) fn offer() -> Result<Self, Trouble> {
        let failed = |doing: &str, why: &dyn std::fmt::Display| {
            let help = "run it from an ordinary terminal, or give it a script on stdin";
            Trouble::environment(format!("cannot {doing}: {why}"), help)
        };
        let before = stty(&["-g"]).map_err(|e| failed("read the terminal's settings", &e))?;
        let folder = tempfile::Builder::new().prefix("seamrig-tty-").tempdir();
        let folder = folder.map_err(|e| failed("make a folder for a socket", &e))?;
        let terminal = Self { folder, before };
        let listener = UnixListener::bind(terminal.socket()).map_err(|e| failed("listen on a socket", &e))?;
        let connect = move || match listener.accept() {
            Ok((guest, _)) => connect(guest),
            Err(e) => eprintln!("error: the guest's terminal cannot be connected: {e}"),
        };
        thread::Builder::new().name("terminal".into()).spawn(connect).map_err(|e| failed("start a thread", &e))?;
        Ok(terminal)
    }

    /// Where it waits.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("tty.sock")
    }
}

/// Rows and columns of the person's terminal.
pub(super) fn rows_and_columns() -> (u16, u16) {
    let said = stty(&["size"]).unwrap_or_default();
    let size = said.split_once(' ').and_then(|(rows, columns)| Some((rows.parse().ok()?, columns.parse().ok()?)));
    size.filter(|size| *size != (0, 0)).unwrap_or(USUAL_SIZE)
}

/// Its kind, if that is a word that every shell takes.
pub(super) fn kind() -> String {
    let is_plain = |kind: &String| kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b));
    std::env::var("TERM").ok().filter(is_plain).unwrap_or_else(|| "vt100".into())
}

impl Drop for LocalTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = stty(&[self.before.as_str()]);
    }
}

/// What coreutils' stty says of the terminal, or does to it.
fn stty(words: &[&str]) -> io::Result<String> {
    let output = Command::new("stty").args(words).stdin(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Carries bytes until the guest's end closes. What the person types is read from the guest's first word on.
fn connect(mut guest: UnixStream) {
    let mut keys = guest.try_clone().ok();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = guest.read(&mut bytes) {
        if let Some(guest) = keys.take() {
            // With a terminal that stays as it is the guest can be used, only less well.
            let _ = stty(&["raw", "-echo"]);
            thread::spawn(move || carry_keys(io::stdin(), guest));
        }
        let mut screen = io::stdout();
        if screen.write_all(&bytes[..count]).and_then(|()| screen.flush()).is_err() {
            return;
        }
    }
}

/// Carries what is typed. The way out asks the rig to end the machine, as Ctrl-C does elsewhere.
fn carry_keys(mut keys: impl Read, mut guest: UnixStream) {
    let mut bytes = [0; 256];
    while let Ok(count @ 1..) = keys.read(&mut bytes) {
        let typed = &bytes[..count];
        let end = typed.iter().position(|byte| *byte == WAY_OUT);
        if guest.write_all(&typed[..end.unwrap_or(count)]).is_err() {
            return;
        }
        if end.is_some() {
            let _ = raise(Signal::SIGTERM);
        }
    }
    let _ = guest.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_reaches_the_guest() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        carry_keys(&b"ls\r"[..], ours);
        let mut typed = Vec::new();
        theirs.read_to_end(&mut typed).unwrap();
        assert_eq!(typed, b"ls\r");
    }
}
