//! Finding a Debian archive and its public keys through what the host already knows. No host is named here.

use crate::{ImagesError, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable that names a Debian archive.
pub const MIRROR_VARIABLE: &str = "RIG_DEBIAN_MIRROR";

/// Where python-apt describes Debian's archive, also on Ubuntu.
const TEMPLATE: &str = "/usr/share/python-apt/templates/Debian.info";

/// Where the package debian-archive-keyring puts the keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What `apt-get indextargets` is asked to print per index, tab-separated.
const TARGET_FORMAT: &str = "$(ORIGIN)\t$(LABEL)\t$(RELEASE)\t$(REPO_URI)";

/// URL of a Debian archive: from the environment, the host's apt, or python-apt's description of Debian.
pub(crate) fn find() -> Result<String, ImagesError> {
    if let Some(url) = std::env::var(MIRROR_VARIABLE).ok().filter(|url| !url.trim().is_empty()) {
        return Ok(url.trim().to_owned());
    }
    let codename = std::fs::read_to_string("/etc/os-release").ok().and_then(|text| debian_codename(&text));
    let template = || std::fs::read_to_string(TEMPLATE).ok().and_then(|text| from_template(&text));
    from_targets(&index_targets(), codename.as_deref()).or_else(template).ok_or(ImagesError::NoMirror)
}

fn index_targets() -> String {
    let output = Command::new("apt-get").args(["indextargets", "--format", TARGET_FORMAT]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The first archive whose release file says `Origin: Debian` and `Label: Debian`, which excludes security updates.
///
/// On a Debian host (`codename`) that never ran `apt-get update` there are no release files; there the repository of
/// the host's own suite counts.
fn from_targets(text: &str, codename: Option<&str>) -> Option<String> {
    let rows = || text.lines().filter_map(|line| <[&str; 4]>::try_from(line.split('\t').collect::<Vec<_>>()).ok());
    let said = rows().find(|[origin, label, ..]| *origin == "Debian" && *label == "Debian");
    let own = || rows().find(|[origin, _, release, _]| !is_said(origin) && Some(*release) == codename);
    said.or_else(own).map(|[.., url]| url.to_owned())
}

/// Whether apt replaced the field: it leaves `$(ORIGIN)` alone when it does not know it.
fn is_said(field: &str) -> bool {
    !field.is_empty() && !field.starts_with("$(")
}

fn debian_codename(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    value("VERSION_CODENAME").filter(|_| value("ID").as_deref() == Some("debian"))
}

/// The first `BaseURI` of a template that is not about security updates.
fn from_template(text: &str) -> Option<String> {
    let urls = text.lines().filter_map(|line| line.strip_prefix("BaseURI:")).map(str::trim);
    urls.filter(|url| !url.contains("security")).map(String::from).next()
}

/// The archive's public keys: installed, or taken from the host's own signed archive and unpacked into `private`.
pub(crate) fn keyring(private: &Path) -> Result<PathBuf, ImagesError> {
    let unpacked = private.join(KEYRING.trim_start_matches('/'));
    if let Some(path) = [Path::new(KEYRING), &unpacked].into_iter().find(|path| path.exists()) {
        return Ok(path.to_owned());
    }
    std::fs::create_dir_all(private).map_err(ImagesError::io(private))?;
    quiet(Command::new("apt-get").args(["download", "debian-archive-keyring"]).current_dir(private))?;
    let package = find_package(private).ok_or_else(|| ImagesError::NoKeyring("nothing was downloaded".into()))?;
    quiet(Command::new("dpkg-deb").arg("-x").arg(&package).arg(private))?;
    Some(unpacked).filter(|path| path.exists()).ok_or_else(|| ImagesError::NoKeyring(format!("no {KEYRING} in it")))
}

fn find_package(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).max()
}

fn quiet(command: &mut Command) -> Result<(), ImagesError> {
    let output = command.env("LC_ALL", "C").output().map_err(|error| ImagesError::NoKeyring(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said: Vec<String> = String::from_utf8_lossy(&output.stderr).lines().map(String::from).collect();
    Err(ImagesError::NoKeyring(crate::run::cause(&said).unwrap_or("no reason given").to_owned()))
}

/// Lines of apt configuration that carry the host's way to the network (proxies), for a private configuration.
pub(crate) fn network_settings() -> String {
    let Some(program) = tools::find("apt-config") else { return String::new() };
    let output = Command::new(program).arg("dump").output();
    keep_network_lines(&output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default())
}

fn keep_network_lines(dump: &str) -> String {
    let kept = ["Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::socks", "Acquire::Retries"];
    let is_kept = |line: &&str| kept.iter().any(|prefix| line.starts_with(prefix)) && !line.contains(" \"\";");
    dump.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_find_debian_among_other_archives() {
        let text = "Node\tNode\tnodistro\thttps://node.example/\n\
                    Debian\tDebian-Security\tx-security\thttp://security.example/debian-security/\n\
                    Debian\tDebian\tx\thttp://mirror.example/debian/\n";
        assert_eq!(from_targets(text, None).as_deref(), Some("http://mirror.example/debian/"));
    }

    #[test]
    fn cannot_take_another_distribution_for_debian() {
        let text = "Ubuntu\tUbuntu\tnoble\thttp://ubuntu.example/ubuntu/\n\
                    Debian\tDebian-Security\tx-security\thttp://security.example/\n";
        assert_eq!(from_targets(text, None), None);
        assert_eq!(from_targets("one field\n\n", Some("x")), None);
    }

    #[test]
    fn before_the_first_update_the_hosts_own_suite_counts() {
        let text = "$(ORIGIN)\t$(LABEL)\tx-security\thttp://security.example/\n\
                    $(ORIGIN)\t$(LABEL)\tx\thttp://mirror.example/debian/\n";
        assert_eq!(from_targets(text, Some("x")).as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(from_targets(text, None), None);
    }

    #[test]
    fn only_debian_itself_has_a_debian_codename() {
        assert_eq!(debian_codename("ID=debian\nVERSION_CODENAME=x\n").as_deref(), Some("x"));
        assert_eq!(debian_codename("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
    }

    #[test]
    fn can_read_a_template() {
        let text = "Suite: {series}-security\nBaseURI: http://security.example/\n\n\
                    Suite: {series}\nBaseURI: https://mirror.example/debian/\n";
        assert_eq!(from_template(text).as_deref(), Some("https://mirror.example/debian/"));
        assert_eq!(from_template("Suite: x\n"), None);
    }

    #[test]
    fn proxies_are_kept_and_hooks_are_not() {
        let dump = "APT::Update::Post-Invoke:: \"rm -f /x\";\nAcquire::http \"\";\n\
                    Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::cdrom::mount \"/x/\";\n";
        assert_eq!(keep_network_lines(dump), "Acquire::http::Proxy \"http://proxy.example:3128\";\n");
    }
}
