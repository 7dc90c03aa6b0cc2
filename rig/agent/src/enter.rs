//! Making the host's files the guest's own: readable as they are, with all changes kept in memory.

use crate::failure;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};
use rig_wire::agent::Failure;
use std::fs::create_dir_all;

/// Where the host's files appear, where changes go, and both together.
const LOWER: &str = "/host";
const CHANGES: &str = "/changes";
const WHOLE: &str = "/whole";
/// What the whole lies on. Folders of the host may be renamed, too.
const LAYERS: &str = "lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work,redirect_dir=on";
/// The host's files do not change while they are shared, so they may be cached for good.
const TRANSPORT: &str = "trans=virtio,version=9p2000.L,msize=1048576,cache=loose";
/// What a system needs besides files.
const MOUNTS: [(&str, &str); 3] = [("devtmpfs", "dev"), ("proc", "proc"), ("sysfs", "sys")];

/// Enters the file system that QEMU shares under this tag, for good.
pub(crate) fn enter(tag: &str) -> Result<(), Failure> {
    let folders = [LOWER, CHANGES, WHOLE];
    folders.into_iter().try_for_each(make)?;
    mount_on(tag, LOWER, "9p", MsFlags::MS_RDONLY, TRANSPORT)?;
    mount_on("tmpfs", CHANGES, "tmpfs", MsFlags::empty(), "size=80%")?;
    [format!("{CHANGES}/upper"), format!("{CHANGES}/work")].iter().try_for_each(|folder| make(folder))?;
    mount_on("overlay", WHOLE, "overlay", MsFlags::empty(), LAYERS)?;
    for (kind, place) in MOUNTS {
        mount_on(kind, &format!("{WHOLE}/{place}"), kind, MsFlags::empty(), "")?;
    }
    let failed = |errno: Errno| failure::from_errno(format_args!("enter {WHOLE}"), errno);
    chroot(WHOLE).map_err(failed)?;
    chdir("/").map_err(failed)
}

fn make(folder: &str) -> Result<(), Failure> {
    create_dir_all(folder).map_err(|e| failure::from_io(format_args!("make {folder}"), &e))
}

fn mount_on(source: &str, place: &str, kind: &str, flags: MsFlags, data: &str) -> Result<(), Failure> {
    let mounted = mount(Some(source), place, Some(kind), flags, Some(data));
    mounted.map_err(|errno| failure::from_errno(format_args!("mount {source} ({kind}) on {place}"), errno))
}
