//! Output for the person who started the program.
//!
//! `println!` panics when its output is closed (a closed terminal, `| head`). In the middle of a change of the machine that
//! must not happen, so what cannot be said is dropped: the journal and the evidence have it too.

use std::fmt::Display;
use std::io::{self, Write};

/// A line on stdout.
pub(crate) fn out(line: impl Display) {
    write_to(&mut io::stdout(), line);
}

/// A line on stderr.
pub(crate) fn err(line: impl Display) {
    write_to(&mut io::stderr(), line);
}

fn write_to(stream: &mut impl Write, line: impl Display) {
    // See the comment of this module: nobody reads this output any more.
    let _ = writeln!(stream, "{line}").and_then(|()| stream.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn nobody_needs_to_listen() {
        write_to(&mut Closed, "words");
        let mut said = Vec::new();
        write_to(&mut said, "words");
        assert_eq!(said, b"words\n");
    }

    /// The macros that panic on a closed stream are nowhere in the program.
    #[test]
    fn nothing_else_prints() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![folder];
        let forbidden = ["print", "println", "eprint", "eprintln"].map(|name| format!("{name}!("));
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|e| e == "rs") && !entry.ends_with("say.rs") {
                    let text = std::fs::read_to_string(&entry).unwrap();
                    let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                    for call in &forbidden {
                        assert!(!program.contains(call.as_str()), "{} uses {call}", entry.display());
                    }
                }
            }
        }
    }
}
