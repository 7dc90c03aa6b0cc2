//! What a scenario has programs do that are not the rig's: the userspace that they run in, and what must come of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// A part of Debian in the guest. Images and `mapping_file.json` of the first module and of updates 1 to 3 lie in `/client`, as
/// the release repository has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Userspace {
    /// Names of Debian's packages; what they depend on comes with them.
    pub packages: Vec<String>,
    /// Files that are no part of the rig, and without which the scenario is skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brings: Vec<Brought>,
    /// Where they are on this machine (`rig run --client`): files, or folders with all that is in them. They lie in `/client`, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<PathBuf>,
}

/// A file that whoever runs the scenario brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// Its name.
    pub name: String,
    /// Where people get it.
    pub from: String,
}

/// One run of a program in the guest, and what must come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientOrder {
    /// Absolute path in the guest.
    pub program: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The exit code that it must end with.
    #[serde(default)]
    pub code: i32,
    /// What it must say, on either stream.
    #[serde(default)]
    pub says: Vec<String>,
    /// What `version` must read afterwards, or `lost`; absent: not looked at.
    #[serde(default)]
    pub version: Option<String>,
    /// The most updates that it makes; absent: one. More of them in the recording fail the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<u32>,
}

impl ClientOrder {
    /// The program and its arguments, as far as they fit into a line.
    pub fn title(&self) -> String {
        let program = Path::new(&self.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = self.arguments.iter().filter_map(|argument| argument.lines().next());
        let words: Vec<&str> = words.filter(|line| line.len() < 40).collect();
        [&[program.as_str()], words.as_slice()].concat().join(" ")
    }
}

/// Says what makes orders impossible.
pub(super) fn check(userspace: Option<&Userspace>, orders: &[ClientOrder], updates: u32) -> Result<(), String> {
    let userspace = match (userspace, orders) {
        (None, []) => return Ok(()),
        (None, _) => return Err("`client` has no `userspace` to run in: name its `packages`".into()),
        (Some(_), []) => return Err("`userspace` is there, but no `client` runs in it".into()),
        (Some(userspace), _) => userspace,
    };
    if updates != 0 {
        return Err(format!("`updates` is {updates}, but `client` makes the updates: set it to 0"));
    }
    if let Some(order) = orders.iter().find(|order| !order.program.starts_with('/')) {
        return Err(format!("`client.program` is \"{}\"; it must be an absolute path in the guest", order.program));
    }
    match userspace.packages.iter().find(|name| !is_package(name)) {
        Some(name) => return Err(format!("`userspace.packages` has \"{name}\", which is no name of a package")),
        None if userspace.packages.is_empty() => return Err("`userspace.packages` is empty".into()),
        None => {}
    }
    match userspace.brings.iter().find(|brought| !is_file_name(&brought.name)) {
        Some(brought) => Err(format!("`userspace.brings` has \"{}\", which is no file name", brought.name)),
        None => Ok(()),
    }
}

/// Debian Policy 5.6.1.
fn is_package(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() > 1 && name.bytes().all(|b| is_plain(b) || b"+-.".contains(&b)) && is_plain(name.as_bytes()[0])
}

fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn userspace(package: &str, file: &str) -> Userspace {
        let brings = vec![Brought { name: file.into(), from: "somewhere".into() }];
        Userspace { packages: vec![package.into()], brings, given: Vec::new() }
    }

    fn order(program: &str) -> ClientOrder {
        ClientOrder { program: program.into(), ..ClientOrder::default() }
    }

    #[test]
    fn programs_take_the_place_of_updates() {
        let (userspace, order) = (userspace("libstdc++6", "client.py"), [order("/usr/bin/sh")]);
        assert_eq!(check(Some(&userspace), &order, 0), Ok(()));
        assert_eq!(check(None, &[], 5), Ok(()));
        assert!(check(Some(&userspace), &order, 1).unwrap_err().contains("`updates`"));
    }

    #[test]
    fn cannot_run_without_a_userspace_or_what_is_no_program() {
        let fine = userspace("dash", "x");
        let refused =
            |userspace: Option<&Userspace>, program: &str| check(userspace, &[order(program)], 0).unwrap_err();
        assert!(refused(None, "/bin/sh").contains("`userspace`"));
        assert!(refused(Some(&fine), "sh").contains("`client.program`"));
        assert!(refused(Some(&Userspace::default()), "/bin/sh").contains("`userspace.packages` is empty"));
        for package in ["-oDir=x", "dash=1", "a b", "x"] {
            assert!(refused(Some(&userspace(package, "x")), "/bin/sh").contains("no name of a package"), "{package}");
        }
        for file in ["../x", "a/b", "", "/"] {
            assert!(refused(Some(&userspace("dash", file)), "/bin/sh").contains("no file name"), "{file}");
        }
        assert!(check(Some(&fine), &[], 0).unwrap_err().contains("no `client`"));
    }
}
