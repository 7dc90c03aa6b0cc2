//! Debian's own kernels: the image, a few modules, and the headers to build modules against, unpacked from the archive.
//!
//! They have no `CONFIG_INTEL_TDX_HOST`, so the subject there is a module. Their `System.map` is a placeholder: the symbols are
//! read in the guest, see [`crate::Images::keep_system_map`].

use super::{Kernel, header};
use crate::apt::{self, Apt, Package};
use crate::cache::{Cache, Entry, Recipe};
use crate::lock::TempDir;
use crate::sandbox::Sandbox;
use crate::{Artifact, ImagesError, Manifest, Progress, buildroot, unpack};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Bump when what is made from the same packages changes.
const LAYOUT: u32 = 1;

/// Modules that a guest may need, below `kernel/` without their endings.
const MODULES: [&str; 16] = [
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/char/virtio_console",
    "virt/lib/irqbypass",
    "arch/x86/kvm/kvm",
    "arch/x86/kvm/kvm-intel",
    "arch/x86/kvm/kvm-amd",
    "drivers/crypto/ccp/ccp",
    "fs/netfs/netfs",
    "net/9p/9pnet",
    "net/9p/9pnet_virtio",
    "fs/9p/9p",
    "fs/overlayfs/overlay",
];

/// A series of Debian's kernels, such as 6.12; in text `debian:6.12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianKernel {
    series: (u32, u32),
}

impl FromStr for DebianKernel {
    type Err = ImagesError;

    fn from_str(text: &str) -> Result<Self, ImagesError> {
        let parse = || {
            let (major, minor) = text.strip_prefix("debian:")?.split_once('.')?;
            Some(Self { series: (major.parse().ok()?, minor.parse().ok()?) })
        };
        parse().ok_or_else(|| ImagesError::NoDebianKernel(text.to_owned()))
    }
}

impl DebianKernel {
    fn recipe(self) -> Recipe {
        let (major, minor) = self.series;
        let inputs =
            json!({ "layout": LAYOUT, "series": [major, minor], "suites": apt::ALL_SUITES, "modules": MODULES });
        Recipe { kind: "debian", what: format!("Debian's kernel {major}.{minor}"), inputs, space_bytes: 700_000_000 }
    }
}

/// Provides the newest kernel of the series that the archive has.
pub(crate) fn provide(
    cache: &Cache,
    progress: &Progress,
    wanted: DebianKernel,
) -> Result<(Kernel, Entry), ImagesError> {
    let recipe = wanted.recipe();
    let what = recipe.what.clone();
    let entry = cache.entry(&recipe, |temp| {
        let apt = Apt::open_all(&cache.folder("apt-all"), progress)?;
        let names = apt.names("linux-headers-")?;
        let release = newest(&names, wanted.series).ok_or_else(|| missing(&names, wanted.series))?;
        let packages = packages(&apt, &release)?;
        let artifacts = unpack::packages(&apt, &packages, &what, temp, progress)?;
        drop(apt);
        arrange(cache, progress, temp, &release)?;
        Ok(Manifest { artifacts, ..Manifest::default() })
    })?;
    Ok((found(&entry)?, entry))
}

/// The image is one package up to Linux 7.2 or so, and several since.
fn packages(apt: &Apt, release: &str) -> Result<Vec<Package>, ImagesError> {
    let short: Vec<&str> = release.split('.').take(2).collect();
    let kbuild = [format!("linux-kbuild-{release}"), format!("linux-kbuild-{}", short.join("."))];
    let split = ["binary", "base", "modules"].map(|part| format!("linux-{part}-{release}-amd64"));
    let known = apt.names("linux-")?;
    let is_known = |name: &&String| known.contains(name);
    let mut names = vec![format!("linux-headers-{release}-amd64"), format!("linux-headers-{release}-common")];
    names.extend(kbuild.iter().find(is_known).cloned());
    if split.iter().all(|name| known.contains(name)) {
        names.extend(split);
    } else {
        names.push(format!("linux-image-{release}-amd64"));
    }
    names.iter().map(|name| apt.single(name)).collect()
}

/// The newest release of a series that has headers for amd64, such as `6.12.107+deb13`.
fn newest(names: &[String], series: (u32, u32)) -> Option<String> {
    let release = |name: &String| Some(name.strip_prefix("linux-headers-")?.strip_suffix("-amd64")?.to_owned());
    let plain = |release: &String| !["-rt", "-cloud"].iter().any(|flavour| release.ends_with(flavour));
    let of_series = |release: &String| numbers(release).starts_with(&[series.0, series.1]);
    names.iter().filter_map(release).filter(plain).filter(of_series).max_by_key(|release| numbers(release))
}

/// Says which series there are instead.
fn missing(names: &[String], (major, minor): (u32, u32)) -> ImagesError {
    let amd64 = names.iter().filter_map(|name| name.strip_prefix("linux-headers-")?.strip_suffix("-amd64"));
    let series = amd64.filter_map(|release| <[u32; 2]>::try_from(numbers(release).get(..2)?).ok());
    let known: Vec<String> =
        series.collect::<BTreeSet<_>>().into_iter().map(|[major, minor]| format!("{major}.{minor}")).collect();
    ImagesError::NoDebianSeries { wanted: format!("{major}.{minor}"), known: known.join(", ") }
}

/// All numbers in a release, for comparing. A kernel's release is numbers and a suffix; versions of packages, whose order
/// is Debian's own (`~`, epochs), are compared by apt alone.
fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Leaves what is needed: `vmlinuz`, `config`, `modules/`, and `usr/src` with `usr/lib/linux-kbuild-*` for module builds.
fn arrange(cache: &Cache, progress: &Progress, temp: &TempDir, release: &str) -> Result<(), ImagesError> {
    let root = temp.path();
    let full = format!("{release}-amd64");
    // Packages from before the merged /usr have their modules in /lib.
    let libraries = ["usr/lib/modules", "lib/modules"].map(|folder| root.join(folder));
    let all = libraries.iter().find(|folder| folder.join(&full).join("kernel").is_dir());
    let all = all.ok_or_else(|| ImagesError::NoPackage(format!("with the modules of {full}")))?;
    let modules = all.join(&full);
    for name in ["vmlinuz", "config"] {
        let places = [root.join("boot").join(format!("{name}-{full}")), modules.join(name)];
        let from = places.iter().find(|path| path.is_file());
        let from = from.ok_or_else(|| ImagesError::NoKernelImage(places[0].clone()))?;
        fs::rename(from, root.join(name)).map_err(ImagesError::io(from))?;
    }
    take_modules(cache, progress, temp, &modules.join("kernel"))?;
    fs::remove_dir_all(all).map_err(ImagesError::io(all))?;
    let headers = root.join("usr/src").join(format!("linux-headers-{full}"));
    // The folder is seen as /src in the build root, where its relative links hold.
    rewrite(&headers.join("Makefile"), "/usr/src/", "/src/src/")
}

fn take_modules(cache: &Cache, progress: &Progress, temp: &TempDir, from: &Path) -> Result<(), ImagesError> {
    let to = temp.path().join("modules");
    fs::create_dir(&to).map_err(ImagesError::io(&to))?;
    let mut packed = Vec::new();
    for module in MODULES {
        for ending in ["ko", "ko.xz"] {
            let file = from.join(format!("{module}.{ending}"));
            let name = file.file_name().expect("it has a name").to_string_lossy().into_owned();
            if file.is_file() {
                fs::rename(&file, to.join(&name)).map_err(ImagesError::io(&file))?;
                packed.extend(ending.ends_with("xz").then(|| format!("/out/{name}")));
            }
        }
    }
    if packed.is_empty() {
        return Ok(());
    }
    let build = buildroot::entry(cache, progress)?;
    let mut sandbox = Sandbox::new(&build.path)?;
    sandbox.bind(&to, "/out");
    let argv: Vec<&str> = ["xz", "--decompress"].into_iter().chain(packed.iter().map(String::as_str)).collect();
    sandbox.run(temp, None, &argv, |_| ())
}

fn rewrite(file: &Path, from: &str, to: &str) -> Result<(), ImagesError> {
    let text = fs::read_to_string(file).map_err(ImagesError::io(file))?;
    fs::write(file, text.replace(from, to)).map_err(ImagesError::io(file))
}

/// The kernel in a finished entry.
fn found(entry: &Entry) -> Result<Kernel, ImagesError> {
    let bzimage = entry.path.join("vmlinuz");
    let release = header::release(&bzimage).ok_or_else(|| ImagesError::NoKernelImage(bzimage.clone()))?;
    let module = |path: &&str| {
        entry.path.join("modules").join(Path::new(path).file_name().expect("a path")).with_extension("ko")
    };
    Ok(Kernel {
        system_map: None,
        vmlinux: None,
        modules: MODULES.iter().map(module).filter(|path| path.is_file()).collect(),
        config: Some(entry.path.join("config")),
        tree: Some(headers(entry, &release)),
        bzimage,
        release,
    })
}

fn headers(entry: &Entry, release: &str) -> PathBuf {
    entry.path.join("usr/src").join(format!("linux-headers-{release}"))
}

/// The `usr` folder around the headers of such a kernel, and the headers below it; none for any other tree.
pub(super) fn headers_of(tree: &Path) -> Option<(PathBuf, String)> {
    let usr = tree.parent()?.parent()?;
    let makefile = fs::read_to_string(tree.join("Makefile")).ok()?;
    let name = tree.file_name()?.to_str()?.to_owned();
    makefile.contains("include /src/src/linux-headers-").then(|| (usr.to_owned(), name))
}

/// Artifacts of the kernel that a run is made of.
pub(crate) fn artifact(entry: &Entry, kernel: &Kernel) -> Result<Artifact, ImagesError> {
    Artifact::of_file(&entry.path, "vmlinuz", &kernel.release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        let names = [
            "linux-headers-6.1.0-9-amd64",
            "linux-headers-6.1.0-50-amd64",
            "linux-headers-6.1.0-51-rt-amd64",
            "linux-headers-6.12.107+deb13-amd64",
            "linux-headers-6.12.94+deb13-amd64",
            "linux-headers-6.12.200+deb13-cloud-amd64",
            "linux-headers-6.12.107+deb13-common",
        ];
        names.map(String::from).to_vec()
    }

    #[test]
    fn can_pick_the_newest_of_a_series() {
        assert_eq!(newest(&names(), (6, 1)).as_deref(), Some("6.1.0-50"));
        assert_eq!(newest(&names(), (6, 12)).as_deref(), Some("6.12.107+deb13"));
    }

    #[test]
    fn cannot_pick_another_series_or_flavour() {
        assert_eq!(newest(&names(), (6, 11)), None);
        assert_eq!(newest(&names()[5..], (6, 12)), None);
        let words = missing(&names(), (6, 11)).to_string();
        assert!(words.starts_with("Debian has no kernel 6.11 for amd64; it has 6.1, 6.12"), "{words}");
    }

    #[test]
    fn can_be_named_and_cannot_be_misnamed() {
        assert_eq!("debian:6.12".parse::<DebianKernel>().unwrap(), DebianKernel { series: (6, 12) });
        for wrong in ["debian:", "debian:6", "debian:x.y", "6.12", "debian:6.12.1"] {
            assert!(wrong.parse::<DebianKernel>().is_err(), "{wrong}");
        }
    }
}
