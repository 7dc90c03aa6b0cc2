//! Running programs inside the build root, as an ordinary user, without touching the host.

use crate::lock::TempDir;
use crate::{ImagesError, host, run, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Binds folders and files into the root, then changes into it. Arguments: ROOT (HOST INSIDE FLAGS)... -- PROGRAM ARGS...
///
/// All of it happens in a mount namespace of its own, which ends with the program.
const ENTER: &str = r#"set -e
root=$1; shift
while [ "$1" != -- ]; do
    mount --rbind "$1" "$root$2"
    [ -z "$3" ] || mount -o "remount,bind,$3" "$root$2" || echo "warning: $1 is not protected from this build" >&2
    shift 3
done; shift
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
exec chroot "$root" "$@"
"#;

/// Folders in the build root that others are bound to.
pub(crate) const MOUNT_POINTS: &[&str] = &["dev", "proc", "tmp", "src", "out", "mod"];

/// A root to run programs in, and what is bound into it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    flags: &'static str,
    binds: Vec<(PathBuf, String, &'static str)>,
}

impl Sandbox {
    /// Finds out which kind of namespace this host allows.
    pub(crate) fn new(root: &Path) -> Result<Self, ImagesError> {
        host::require(&["unshare", "mount", "chroot"])?;
        let root_user = nix::unistd::geteuid().is_root();
        // Root needs no user namespace, but in a container it may be refused the mount namespace without one.
        let candidates: &[&'static str] = if root_user { &["-m", "-Urm"] } else { &["-Urm"] };
        let mut refusal = String::new();
        for flags in candidates {
            match probe(flags, root) {
                Ok(()) => return Ok(Self { root: root.into(), flags, binds: Vec::new() }),
                Err(said) => refusal = said,
            }
        }
        Err(ImagesError::NoNamespace(refusal))
    }

    /// Shows `host` as `inside` (absolute, and it exists in the root or in what was bound before).
    pub(crate) fn bind(&mut self, host: impl Into<PathBuf>, inside: &str) -> &mut Self {
        self.binds.push((host.into(), inside.into(), ""));
        self
    }

    /// The same for what the programs must not write to.
    pub(crate) fn bind_to_read(&mut self, host: impl Into<PathBuf>, inside: &str) -> &mut Self {
        self.binds.push((host.into(), inside.into(), "ro"));
        self
    }

    /// Runs a program of the root; see [`run::run`].
    pub(crate) fn run(
        &self,
        temp: &TempDir,
        log: Option<&Path>,
        argv: &[&str],
        on_line: impl FnMut(&str),
    ) -> Result<(), ImagesError> {
        let mut command = unshare(self.flags);
        command.args(["sh", "-c", ENTER, "sh"]).arg(&self.root);
        for (host, inside, flags) in &self.binds {
            command.arg(host).arg(inside).arg(flags);
        }
        command.arg("--").args(argv);
        run::run(command, temp.hold()?, log, on_line).map_err(|error| match error {
            ImagesError::Program { detail, log, .. } => {
                ImagesError::Program { program: argv.first().unwrap_or(&"").to_string(), detail, log }
            }
            ImagesError::DiskFull(_) => ImagesError::DiskFull(temp.path().into()),
            other => other,
        })
    }
}

/// `unshare` with an environment that does not depend on the caller's.
fn unshare(flags: &str) -> Command {
    let mut command = Command::new(tools::find("unshare").unwrap_or_else(|| "unshare".into()));
    command.arg(flags).env_clear().envs([
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C"),
        ("HOME", "/tmp"),
        // It would leave files of its own in the root, whose stamp would no longer hold.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("KBUILD_BUILD_TIMESTAMP", "2026-01-01"),
        ("KBUILD_BUILD_USER", "rig"),
        ("KBUILD_BUILD_HOST", "rig"),
    ]);
    command
}

fn probe(flags: &str, root: &Path) -> Result<(), String> {
    let output = unshare(flags).args(["mount", "--rbind", "/dev"]).arg(root.join("dev")).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes the folders that things are bound to.
pub(crate) fn prepare(root: &Path) -> Result<(), ImagesError> {
    for folder in MOUNT_POINTS.iter().map(|folder| root.join(folder)) {
        fs::create_dir_all(&folder).map_err(ImagesError::io(&folder))?;
    }
    Ok(())
}
