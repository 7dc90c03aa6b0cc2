//! Git's own commands, in a repository.

use crate::trouble::Trouble;
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    /// There is none.
    #[error("git is not installed, and the patches are applied and the commits are taken by it")]
    NotInstalled,
    /// It was not started.
    #[error("git cannot be started: {0}")]
    NotStarted(std::io::Error),
    /// It failed.
    #[error("git {what} failed: {said}")]
    Failed {
        /// The command.
        what: String,
        /// What it said.
        said: String,
    },
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        let help = match &error {
            GitError::NotInstalled => "install it; on Debian or Ubuntu: apt-get install git",
            GitError::NotStarted(_) => "check that git runs: `git --version`",
            GitError::Failed { .. } => "check the tree and the names of its commits with that command of git",
        };
        Self::environment(error.to_string(), help)
    }
}

/// Variables that a hook, a rebase or a bisection of somebody else's repository sets.
const FOREIGN: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
];

/// Who makes commits here, and when, so that equal patches make equal commits. Messages are in English.
const IDENTITY: &[(&str, &str)] = &[
    ("GIT_AUTHOR_NAME", "rig"),
    ("GIT_AUTHOR_EMAIL", "rig@invalid"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "rig"),
    ("GIT_COMMITTER_EMAIL", "rig@invalid"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
    ("LC_ALL", "C"),
];

/// What somebody's configuration must not change.
const SETTINGS: &[&str] = &[
    "core.autocrlf=false",
    "core.hooksPath=/dev/null",
    "commit.gpgSign=false",
    "gc.auto=0",
    "advice.detachedHead=false",
];

/// Git in one place.
#[derive(Clone, Debug)]
pub(super) struct Git {
    folder: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Git {
    /// In this folder.
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), variables: Vec::new() }
    }

    /// With one of git's variables set.
    pub(super) fn with(mut self, name: &'static str, value: &Path) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// What the command writes to its output, without the last line's end.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String, GitError> {
        self.feed(arguments, b"")
    }

    /// As [`Git::run`], with an input.
    pub(super) fn feed<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Result<String, GitError> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound if self.folder.is_dir() => GitError::NotInstalled,
            _ => GitError::NotStarted(error),
        })?;
        let mut stdin = child.stdin.take().expect("it was asked for");
        // It is written aside, since a full pipe would hold both. What git does not read it does not need.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output()
        });
        let output = output.map_err(GitError::NotStarted)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned());
        }
        let what = arguments.first().map(|a| a.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.starts_with("warning:")).unwrap_or("it said nothing").to_owned();
        Err(GitError::Failed { what, said })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.folder);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.envs(IDENTITY.iter().copied()).envs(self.variables.iter().map(|(name, value)| (*name, value)));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }
}

/// Commits of a history in which a patch is looked for.
const LOOKED_AT: &str = "-n200";

/// The commit of HEAD's history that makes just this change, if it is one of the last.
pub(super) fn commit_of_patch(tree: &Path, diff: &[u8]) -> Result<Option<String>, GitError> {
    let git = Git::at(tree);
    let names = |log: &[u8]| git.feed(&["patch-id", "--stable"], log);
    let Some(wanted) = names(diff)?.split(' ').next().filter(|name| !name.is_empty()).map(str::to_owned) else {
        return Ok(None);
    };
    let log = git.run(&["log", "-p", "--no-merges", "--no-ext-diff", "--no-textconv", LOOKED_AT])?;
    let all = names(log.as_bytes())?;
    let commit = all.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == wanted);
    Ok(commit.map(|(_, commit)| commit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let error = Git::at(folder.path()).run(&["rev-parse", "--verify", "nonsense^{commit}"]).unwrap_err();
        assert!(error.to_string().starts_with("git rev-parse failed: fatal: "), "{error}");
    }

    #[test]
    fn a_missing_git_has_its_own_remedy() {
        let trouble = Trouble::from(GitError::NotInstalled);
        assert!(trouble.help.contains("apt-get install git"), "{trouble:?}");
    }

    #[test]
    fn a_long_input_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::at(folder.path());
        let long = vec![b'x'; 1 << 20];
        let hash = |input: &[u8]| git.feed(&["hash-object", "--stdin"], input).unwrap();
        assert_eq!(hash(&long).len(), 40);
        assert_ne!(hash(&long), hash(&long[1..]));
    }
}
