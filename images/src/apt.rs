//! apt with a private configuration: the host's packages and lists are neither read nor touched.

use crate::lock::Lock;
use crate::{ImagesError, Progress, Step, host, mirror, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's suites that everything is taken from.
pub(crate) const SUITE: &str = "trixie";
/// Where newer versions of a few packages come from.
pub(crate) const BACKPORTS: &str = "trixie-backports";
/// Where older kernels come from.
const OLDER: &str = "bookworm";
/// Everything, for looking through Debian's kernels.
pub(crate) const ALL_SUITES: [&str; 3] = [OLDER, SUITE, BACKPORTS];

/// The file in apt's folder that is locked while it is used.
pub(crate) const LOCK: &str = "rig.lock";

/// A private apt, locked for this process.
#[derive(Debug)]
pub(crate) struct Apt {
    home: PathBuf,
    lock: Lock,
    progress: Progress,
}

/// A package in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Name of its file in the archives folder.
    pub(crate) file: String,
}

impl Apt {
    /// Prepares `home` and fetches the lists; signatures are checked against the archive keyring.
    pub(crate) fn open(home: &Path, progress: &Progress) -> Result<Self, ImagesError> {
        host::require(&["apt-get", "apt-cache", "apt-config", "dpkg-deb"])?;
        Self::open_at(home, &mirror::find()?, &[SUITE, BACKPORTS], progress)
    }

    /// As [`Apt::open`], with [`ALL_SUITES`]; `home` must be another.
    pub(crate) fn open_all(home: &Path, progress: &Progress) -> Result<Self, ImagesError> {
        host::require(&["apt-get", "apt-cache", "apt-config", "dpkg-deb"])?;
        Self::open_at(home, &mirror::find()?, &ALL_SUITES, progress)
    }

    fn open_at(home: &Path, mirror: &str, suites: &[&str], progress: &Progress) -> Result<Self, ImagesError> {
        fs::create_dir_all(home).map_err(ImagesError::io(home))?;
        let lock = Lock::exclusive(&home.join(LOCK), "downloads", progress)?;
        let apt = Self { home: home.to_owned(), lock, progress: progress.clone() };
        apt.configure(mirror, suites, &mirror::keyring(&home.join("keyring"))?)?;
        let step = progress.step("package lists", 100);
        apt.run(apt.command("apt-get").arg("update"), &step)?;
        step.done();
        Ok(apt)
    }

    fn configure(&self, mirror: &str, suites: &[&str], keyring: &Path) -> Result<(), ImagesError> {
        for folder in ["lists/partial", "archives/partial"] {
            let folder = self.home.join(folder);
            fs::create_dir_all(&folder).map_err(ImagesError::io(&folder))?;
        }
        let line = |suite: &&str| format!("deb [signed-by={}] {mirror} {suite} main\n", keyring.display());
        self.write("sources.list", &suites.iter().map(line).collect::<String>())?;
        self.write("status", "")?;
        self.write("apt.conf", &configuration(&self.home, &mirror::network_settings()))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ImagesError> {
        let path = self.home.join(name);
        fs::write(&path, text).map_err(ImagesError::io(&path))
    }

    /// The folder that downloaded packages lie in.
    pub(crate) fn archives(&self) -> PathBuf {
        self.home.join("archives")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.home.join("apt.conf")).env("LC_ALL", "C").current_dir(self.archives());
        command
    }

    fn hold(&self) -> Result<File, ImagesError> {
        self.lock.hold()
    }

    /// Runs apt; its status lines move `step`, whose total must be 100.
    fn run(&self, command: &mut Command, step: &Step) -> Result<(), ImagesError> {
        let mut said = Vec::new();
        let taken = std::mem::replace(command, Command::new("true"));
        let result = run::run(taken, self.hold()?, None, |line| match download_status(line) {
            Some((percent, message)) => step.at(percent, message),
            None => said.push(line.to_owned()),
        });
        result.map_err(|error| classify(&said, &self.home).unwrap_or(error))
    }

    /// What a query prints.
    fn ask(&self, command: &mut Command) -> Result<String, ImagesError> {
        let mut said = Vec::new();
        let taken = std::mem::replace(command, Command::new("true"));
        run::run(taken, self.hold()?, None, |line| said.push(line.to_owned()))
            .map_err(|error| classify(&said, &self.home).unwrap_or(error))?;
        Ok(said.join("\n"))
    }

    /// Names in the archive that start with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>, ImagesError> {
        Ok(self.ask(self.command("apt-cache").args(["pkgnames", prefix]))?.lines().map(String::from).collect())
    }

    /// Versions of `package` in the archive, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>, ImagesError> {
        Ok(parse_madison(&self.ask(self.command("apt-cache").args(["madison", package]))?))
    }

    /// All packages that installing `wanted` (`NAME` or `NAME=VERSION`) on an empty system takes.
    pub(crate) fn closure(&self, wanted: &[String]) -> Result<Vec<Package>, ImagesError> {
        // Packages that were downloaded before an interruption are not printed, so the folder must look empty.
        let empty = format!("Dir::Cache::archives={}", self.home.join("none").display());
        fs::create_dir_all(self.home.join("none/partial")).map_err(ImagesError::io(&self.home))?;
        let mut command = self.command("apt-get");
        command.args(["install", "-y", "--print-uris", "-o", &empty, "-t", BACKPORTS]).args(wanted);
        Ok(parse_uris(&self.ask(&mut command)?))
    }

    /// The single package `NAME=VERSION`, without what it depends on.
    pub(crate) fn single(&self, wanted: &str) -> Result<Package, ImagesError> {
        let text = self.ask(self.command("apt-get").args(["download", "--print-uris", wanted]))?;
        parse_uris(&text).pop().ok_or_else(|| ImagesError::NoPackage(wanted.to_owned()))
    }

    /// Downloads `packages` into [`Apt::archives`], going on where an interrupted download stopped.
    pub(crate) fn download(&self, packages: &[Package], what: &str) -> Result<Vec<PathBuf>, ImagesError> {
        let step = self.progress.step(&format!("download {what}"), 100);
        let mut command = self.command("apt-get");
        command.args(["download", "-q"]);
        command.args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        self.run(&mut command, &step)?;
        step.done();
        Ok(packages.iter().map(|package| self.archives().join(&package.file)).collect())
    }
}

fn configuration(home: &Path, network: &str) -> String {
    let home = home.display();
    format!(
        "Dir::Etc::sourcelist \"{home}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\nDir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\nDir::State \"{home}\";\nDir::State::lists \"{home}/lists\";\n\
         Dir::State::status \"{home}/status\";\nDir::Cache \"{home}\";\nDir::Cache::archives \"{home}/archives\";\n\
         Dir::Log \"{home}\";\nAPT::Architecture \"amd64\";\nAPT::Architectures {{\"amd64\";}};\n\
         APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"\";\nAPT::Status-Fd \"1\";\n\
         APT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n{network}"
    )
}

/// `dlstatus:INDEX:PERCENT:MESSAGE`.
fn download_status(line: &str) -> Option<(u64, &str)> {
    let (_, rest) = line.strip_prefix("dlstatus:")?.split_once(':')?;
    let (percent, message) = rest.split_once(':')?;
    Some((percent.split('.').next()?.parse().ok()?, message))
}

/// Lines `'URL' FILE SIZE HASH`, where FILE is `NAME_VERSION_ARCH.deb` with the epoch's colon escaped.
fn parse_uris(text: &str) -> Vec<Package> {
    let file = |line: &str| line.strip_prefix('\'')?.split(' ').nth(1).map(String::from);
    text.lines().filter_map(file).filter_map(parse_file_name).collect()
}

fn parse_file_name(file: String) -> Option<Package> {
    let (name, rest) = file.strip_suffix(".deb")?.split_once('_')?;
    let (version, _) = rest.rsplit_once('_')?;
    Some(Package { name: name.into(), version: version.replace("%3a", ":"), file })
}

/// Lines `NAME | VERSION | SOURCE`.
fn parse_madison(text: &str) -> Vec<String> {
    let version = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
    let mut versions: Vec<String> =
        text.lines().filter(|line| line.ends_with("Packages")).filter_map(version).collect();
    versions.dedup();
    versions
}

/// What apt's complaints mean; `None` when they speak of nothing known.
fn classify(lines: &[String], home: &Path) -> Option<ImagesError> {
    let find = |words: &[&str]| {
        let line = lines.iter().find(|line| words.iter().any(|word| line.contains(word)))?;
        Some(line.trim_start_matches("E: ").trim_start_matches("W: ").trim().to_owned())
    };
    if find(&["No space left on device", "don't have enough free space"]).is_some() {
        return Some(ImagesError::DiskFull(home.to_owned()));
    }
    let untrusted = [
        "NO_PUBKEY",
        "BADSIG",
        "EXPKEYSIG",
        "is not signed",
        "Hash Sum mismatch",
        "couldn't be verified",
        "not valid yet",
        "Clearsigned file isn't valid",
        "unexpected size",
    ];
    let network = [
        "Could not resolve",
        "Temporary failure",
        "Could not connect",
        "Unable to connect",
        "timed out",
        "Connection failed",
        "Connection refused",
        "Network is unreachable",
        "Cannot initiate",
        "Failed to fetch",
        "does not have a Release file",
        "Certificate verification",
        "handshake",
        "Proxy",
    ];
    find(&untrusted)
        .map(ImagesError::Untrusted)
        .or_else(|| find(&network).map(ImagesError::NoNetwork))
        .or_else(|| find(&["Unable to locate package"]).map(|line| ImagesError::NoPackage(last_word(&line))))
}

fn last_word(line: &str) -> String {
    line.rsplit(' ').next().unwrap_or(line).to_owned()
}

#[cfg(test)]
#[path = "apt_tests.rs"]
mod tests;
