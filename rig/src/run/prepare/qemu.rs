//! A QEMU of the user's own.

use crate::trouble::Trouble;
use std::path::Path;
use std::process::Command;

/// The oldest QEMU whose plugin interface the plugin speaks.
const OLDEST: (u32, u32) = (11, 1);

/// Takes a QEMU by its path, after asking it for its version and for plugins.
pub(crate) fn own(path: &Path) -> Result<Command, Trouble> {
    let help = "give the path of a qemu-system-x86_64 of version 11.1 or later, or leave out --qemu";
    let said = |argument: &str| {
        let output = Command::new(path).arg(argument).output();
        let output = output.map_err(|e| Trouble::usage(format!("cannot start {}: {e}", path.display()), help))?;
        Ok::<_, Trouble>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let text = said("--version")?;
    let Some(version) = parse_version(&text) else {
        return Err(Trouble::usage(format!("{} is no QEMU", path.display()), help));
    };
    if version < OLDEST {
        let (major, minor) = version;
        return Err(Trouble::environment(
            format!("{} is QEMU {major}.{minor}, which is too old", path.display()),
            help,
        ));
    }
    if !said("--help")?.contains("-plugin ") {
        let cause = format!("{} was built without plugins", path.display());
        return Err(Trouble::environment(cause, "configure QEMU with --enable-plugins, or leave out --qemu"));
    }
    Ok(Command::new(path))
}

/// Major and minor version in `QEMU emulator version 11.1.3 (...)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("QEMU emulator version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(version: &str, help: &str) -> (tempfile::TempDir, Result<Command, Trouble>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        let script = format!("#!/bin/sh\ncase $1 in --version) echo '{version}';; --help) echo '{help}';; esac\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let taken = own(&path);
        (dir, taken)
    }

    #[test]
    fn can_take_one_that_is_new_enough() {
        assert!(fake("QEMU emulator version 11.1.3 (Debian)", "-plugin [file=]<file>").1.is_ok());
        assert!(fake("QEMU emulator version 12.0.0", "-plugin [file=]<file>").1.is_ok());
    }

    #[test]
    fn cannot_take_an_old_one_or_one_without_plugins_or_something_else() {
        let cause = |version, help| fake(version, help).1.unwrap_err().cause;
        assert!(cause("QEMU emulator version 7.2.1", "-plugin x").contains("too old"));
        assert!(cause("QEMU emulator version 11.0.0", "-plugin x").contains("too old"));
        assert!(cause("QEMU emulator version 11.1.0", "-machine x").contains("without plugins"));
        assert!(cause("GNU bash", "-plugin x").contains("is no QEMU"));
        assert!(own(Path::new("/nonexistent")).unwrap_err().cause.contains("cannot start"));
    }
}
