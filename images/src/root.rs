//! Where the cache lies, and the check that no other user can put anything there.

use crate::ImagesError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "RIG_CACHE";

/// Others may write: in the mode of a folder.
const WORLD_WRITABLE: u32 = 0o002;
/// In such a folder only the owner of a thing may rename or remove it.
const STICKY: u32 = 0o1000;

/// The cache folder by the environment.
pub(crate) fn by_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, ImagesError> {
    let variable = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(root) = variable(CACHE_VARIABLE) {
        return Ok(root);
    }
    // The XDG base directory specification wants relative paths ignored.
    let xdg = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").filter(|path| path.is_absolute()).map(|home| home.join(".cache"));
    xdg.or_else(home).map(|folder| folder.join("seamrig")).ok_or(ImagesError::NoCacheFolder)
}

/// Refuses a cache folder into which another user could put programs that the rig would run. `root` exists and is canonical.
pub(crate) fn check_private(root: &Path) -> Result<(), ImagesError> {
    let us = nix::unistd::geteuid().as_raw();
    let mut child = None;
    for path in root.ancestors() {
        let data = path.symlink_metadata().map_err(ImagesError::io(path))?;
        let folder = Folder { mode: data.mode(), owner: data.uid() };
        if let Some(why) = weakness(folder, child, us) {
            return Err(ImagesError::SharedCache { root: root.into(), folder: path.into(), why });
        }
        child = Some(folder);
    }
    Ok(())
}

/// Who may do what in a folder.
#[derive(Clone, Copy)]
struct Folder {
    mode: u32,
    owner: u32,
}

/// How another user than `us` and root could change what lies in the cache, through one folder on the way to it. `child` is the
/// next folder of the way; none: `folder` is the cache itself.
fn weakness(folder: Folder, child: Option<Folder>, us: u32) -> Option<&'static str> {
    let trusted = |folder: Folder| folder.owner == us || folder.owner == 0;
    let everybody_writes = folder.mode & WORLD_WRITABLE != 0;
    match child {
        None if everybody_writes => Some("everybody may write to it"),
        None if !trusted(folder) => Some("it belongs to another user"),
        Some(_) if everybody_writes && folder.mode & STICKY == 0 => Some("everybody may rename what lies in it"),
        Some(child) if everybody_writes && !trusted(child) => Some("what lies in it belongs to another user"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn root(pairs: &[(&str, &str)]) -> Result<PathBuf, ImagesError> {
        by_environment(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    }

    #[test]
    fn the_environment_decides_where_the_cache_is() {
        let is = |pairs: &[(&str, &str)], path: &str| assert_eq!(root(pairs).unwrap(), Path::new(path));
        is(&[("RIG_CACHE", "/a"), ("XDG_CACHE_HOME", "/b")], "/a");
        is(&[("XDG_CACHE_HOME", "/b"), ("HOME", "/h")], "/b/seamrig");
        is(&[("RIG_CACHE", ""), ("HOME", "/h")], "/h/.cache/seamrig");
        is(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], "/h/.cache/seamrig");
    }

    #[test]
    fn without_a_home_there_is_no_cache_in_a_folder_of_everybody() {
        for pairs in [&[][..], &[("HOME", "")], &[("HOME", "relative")], &[("XDG_CACHE_HOME", "relative")]] {
            let error = root(pairs).unwrap_err();
            assert!(matches!(error, ImagesError::NoCacheFolder), "{error}");
            assert!(error.to_string().contains("HOME") && error.remedy().contains(CACHE_VARIABLE), "{error}");
        }
    }

    /// A folder `outer/cache` with these modes.
    fn check(outer: u32, cache: u32) -> Result<(), ImagesError> {
        let folder = tempfile::tempdir().unwrap();
        let (outer_path, path) = (folder.path().join("outer"), folder.path().join("outer/cache"));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(cache)).unwrap();
        fs::set_permissions(&outer_path, Permissions::from_mode(outer)).unwrap();
        check_private(&path.canonicalize().unwrap())
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        check(0o755, 0o755).unwrap();
        check(0o755, 0o770).unwrap();
        // A folder of our own below a sticky one, such as a folder for temporary files, cannot be taken away from us.
        check(0o1777, 0o755).unwrap();
        for (outer, cache, why) in
            [(0o755, 0o777, "to it"), (0o755, 0o1777, "to it"), (0o777, 0o755, "rename"), (0o707, 0o700, "rename")]
        {
            let error = check(outer, cache).unwrap_err();
            assert!(matches!(&error, ImagesError::SharedCache { why: found, .. } if found.contains(why)), "{error}");
            assert!(error.remedy().contains(CACHE_VARIABLE), "{error}");
        }
    }

    #[test]
    fn a_folder_that_another_user_planted_is_refused() {
        let (us, other) = (1000, 1001);
        let folder = |mode, owner| Folder { mode, owner };
        let sticky = folder(0o1777, 0);
        assert_eq!(weakness(folder(0o700, us), None, us), None);
        assert_eq!(weakness(folder(0o755, 0), None, us), None);
        assert_eq!(weakness(folder(0o755, other), None, us), Some("it belongs to another user"));
        assert_eq!(weakness(sticky, Some(folder(0o700, us)), us), None);
        assert_eq!(weakness(sticky, Some(folder(0o755, other)), us), Some("what lies in it belongs to another user"));
    }
}
