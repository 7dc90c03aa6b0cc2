//! One command at a time changes a host.
//!
//! The lock is one of an open file description (`fcntl(2)`, `F_OFD_SETLK`): the kernel frees it however its process ends, and
//! unlike `flock(2)` it can be asked for without being taken, so that a look at it keeps no update from starting.

use crate::host::Host;
use crate::trouble::Trouble;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Folder of everything that this program leaves.
pub const FOLDER: &str = rig_wire::agent::EVIDENCE;
const LOCK: &str = "lock";
/// Only its owner can open the file, so no other user can hold the lock.
const MODE: u32 = 0o600;

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What a look at the lock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No process has it.
    Nobody,
    /// A command that changes the host has it.
    Command,
    /// Only root can see it.
    Hidden,
}

impl Lock {
    /// Takes it, before anything of the host is looked at. Refused while another command has it.
    pub fn take(host: &Host) -> Result<Self, Trouble> {
        let folder = host.path(FOLDER);
        // Others may read what is in it, whatever the umask says, and never add to it.
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(|e| Trouble::file("make", &folder, &e))?;
        let path = path(host);
        let file = open_own(&path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => Ok(Self { _file: file }),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {
                let help = "wait for it to end; `rig-hw journal` shows what it does";
                Err(Trouble::refused("another rig-hw is changing this machine", help))
            }
            Err(errno) => Err(Trouble::file("lock", &path, &errno.into())),
        }
    }

    /// Who has it, without taking it.
    pub fn holder(host: &Host) -> Holder {
        let file = match OpenOptions::new().read(true).write(true).open(path(host)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Holder::Nobody,
            Err(_) => return Holder::Hidden,
        };
        let mut lock = whole_file();
        match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)) {
            Ok(_) if i32::from(lock.l_type) == libc::F_UNLCK => Holder::Nobody,
            Ok(_) => Holder::Command,
            Err(_) => Holder::Hidden,
        }
    }
}

fn path(host: &Host) -> PathBuf {
    host.path(&format!("{FOLDER}/{LOCK}"))
}

/// Opens or makes the file, which must be ours and ours alone.
fn open_own(path: &Path) -> Result<File, Trouble> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE);
    let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path);
    let file = file.map_err(|e| Trouble::file("open", path, &e))?;
    let metadata = file.metadata().map_err(|e| Trouble::file("look at", path, &e))?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        let cause = format!("{} belongs to user {}, who could keep the lock from us", path.display(), metadata.uid());
        return Err(Trouble::refused(cause, format!("look why, and remove it: rm {}", path.display())));
    }
    file.set_permissions(Permissions::from_mode(MODE)).map_err(|e| Trouble::file("protect", path, &e))?;
    Ok(file)
}

fn whole_file() -> libc::flock {
    let (kind, whence) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type: kind, l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::trouble::Exit;

    #[test]
    fn cannot_have_two_at_once() {
        let fake = Fake::new();
        let first = Lock::take(&fake.host()).unwrap();
        let refused = Lock::take(&fake.host()).unwrap_err();
        assert!(refused.exit == Exit::Refused && refused.cause.contains("another rig-hw"), "{refused}");
        drop(first);
        assert!(Lock::take(&fake.host()).is_ok());
    }

    /// `check` may look at any moment: what it does while an update starts must not make that fail.
    #[test]
    fn a_look_does_not_take_it() {
        let fake = Fake::new();
        assert_eq!(Lock::holder(&fake.host()), Holder::Nobody);
        let lock = Lock::take(&fake.host()).unwrap();
        assert_eq!(Lock::holder(&fake.host()), Holder::Command);
        drop(lock);
        assert_eq!(Lock::holder(&fake.host()), Holder::Nobody);
        let watcher = std::thread::spawn({
            let host = fake.host();
            move || (0..2000).for_each(|_| assert_ne!(Lock::holder(&host), Holder::Hidden))
        });
        (0..2000).for_each(|_| drop(Lock::take(&fake.host()).unwrap()));
        watcher.join().unwrap();
    }

    /// Neither a new file nor one that an earlier version left is open to others; a link leads nowhere.
    #[test]
    fn nobody_else_can_open_it() {
        let fake = Fake::new();
        let mode = || fs::metadata(path(&fake.host())).unwrap().permissions().mode() & 0o777;
        drop(Lock::take(&fake.host()).unwrap());
        assert_eq!(mode(), 0o600);
        fs::set_permissions(path(&fake.host()), Permissions::from_mode(0o644)).unwrap();
        drop(Lock::take(&fake.host()).unwrap());
        assert_eq!(mode(), 0o600);
        fs::remove_file(path(&fake.host())).unwrap();
        std::os::unix::fs::symlink(fake.host().path("/proc/cpuinfo"), path(&fake.host())).unwrap();
        assert!(Lock::take(&fake.host()).unwrap_err().cause.contains("cannot open"));
    }

    /// Only where the tests run as root can a file be given away.
    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let fake = Fake::new();
        drop(Lock::take(&fake.host()).unwrap());
        if !nix::unistd::geteuid().is_root() {
            eprintln!("not tried: only root can give a file away");
            return;
        }
        std::os::unix::fs::chown(path(&fake.host()), Some(12345), None).unwrap();
        assert!(Lock::take(&fake.host()).unwrap_err().cause.contains("belongs to user 12345"));
    }
}
