//! Where patches are applied and commits are taken from: a repository of the rig's own, so that nobody's tree is changed.

use super::bench::Revision;
use super::bisect::{History, Mark, Next};
use super::git::{Git, GitError};
use super::mails::{Mail, paths};
use crate::fingerprint::hash;
use crate::trouble::Trouble;
use std::fs;
use std::path::{Path, PathBuf};

/// The first commit of a repository of patched files.
const BASE: &str = "refs/rig/base";

/// A repository, and the source that it checks out.
#[derive(Debug)]
pub(super) struct Repository {
    git: Git,
    /// Its own folder.
    folder: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The files that patches speak of. All others of the source are as this names them.
    Patched { base: String, rest: String },
    /// A clone of somebody's tree, which shares its objects.
    Clone,
}

impl Repository {
    /// A repository in `folder/git` of those files of `original` that the patches speak of. `rest` names all of the original source. What
    /// an earlier command checked out to `folder/src` is taken back.
    pub(super) fn of_patched(folder: &Path, original: &Path, rest: &str, mails: &[Mail]) -> Result<Self, Trouble> {
        let (folder_of_git, source) = (folder.join("git"), folder.join("src"));
        fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
        let git = Git::at(folder).with("GIT_DIR", &folder_of_git).with("GIT_WORK_TREE", &source);
        if folder_of_git.exists() {
            if source.exists() && git.run(&["rev-parse", "--verify", "--quiet", BASE]).is_ok() {
                unlock(&folder_of_git);
                git.run(&["checkout", "--quiet", "--force", "--detach", BASE])?;
            }
            fs::remove_dir_all(&folder_of_git).map_err(|e| Trouble::file("renew", &folder_of_git, &e))?;
        }
        Git::at(folder).run(&["init", "--quiet", "--bare", &folder_of_git.to_string_lossy()])?;
        let mut files: Vec<String> = mails.iter().flat_map(|mail| paths(&mail.diff)).collect();
        files.retain(|file| original.join(file).is_file() && !file.split('/').any(|part| part == ".."));
        let list: String = files.iter().flat_map(|file| [file, "\n"]).collect();
        let reading = Git::at(original).with("GIT_DIR", &folder_of_git).with("GIT_WORK_TREE", original);
        reading.run(&["config", "core.bare", "false"])?;
        reading.feed(&["update-index", "--add", "--stdin"], list.as_bytes())?;
        let base = commit(&git, &git.run(&["write-tree"])?, None, "base")?;
        git.run(&["update-ref", BASE, &base])?;
        git.run(&["update-ref", "--no-deref", "HEAD", &base])?;
        let kind = Kind::Patched { base, rest: rest.to_owned() };
        Ok(Self { git, folder: folder_of_git, kind })
    }

    /// A clone of the tree in `folder/src`, made if there is none. The tree itself is only read.
    pub(super) fn of_tree(folder: &Path, tree: &Path) -> Result<Self, Trouble> {
        let source = folder.join("src");
        fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
        if Git::at(tree).run(&["rev-parse", "--git-dir"]).is_err() {
            // Without git at all that is the cause.
            Git::at(Path::new("/")).run(&["--version"])?;
            let help = "in it: git init && git add . && git commit -m base; or give the kernel's git tree";
            return Err(Trouble::usage(format!("{} is no git repository", tree.display()), help));
        }
        if !source.join(".git").exists() {
            let half = folder.join("half-cloned");
            let _ = fs::remove_dir_all(&half);
            let [from, to] = [tree, &half].map(|path| path.to_string_lossy().into_owned());
            Git::at(folder).run(&["clone", "--quiet", "--shared", "--no-checkout", &from, &to])?;
            fs::rename(&half, &source).map_err(|e| Trouble::file("make", &source, &e))?;
        }
        let git = Git::at(&source);
        Ok(Self { git, folder: source.join(".git"), kind: Kind::Clone })
    }

    /// The commit that patches are applied on, in a repository of patched files.
    pub(super) fn base(&self) -> Option<&str> {
        match &self.kind {
            Kind::Patched { base, .. } => Some(base),
            Kind::Clone => None,
        }
    }

    /// The commit after `parent` with this patch; else why it does not apply. No file of the source is touched.
    pub(super) fn apply(&self, parent: &str, mail: &Mail) -> Result<Result<String, String>, Trouble> {
        let index = self.folder.join("index-of-patch");
        let git = self.git.clone().with("GIT_INDEX_FILE", &index);
        git.run(&["read-tree", parent])?;
        match git.feed(&["apply", "--cached", "--whitespace=nowarn", "-"], &mail.diff) {
            Ok(_) => Ok(Ok(commit(&git, &git.run(&["write-tree"])?, Some(parent), &mail.title)?)),
            Err(GitError::Failed { said, .. }) => {
                Ok(Err(said.strip_prefix("error: ").map_or(said.clone(), str::to_owned)))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Makes the source that of a commit. Only files that differ are written, so that only these are compiled again.
    pub(super) fn check_out(&self, commit: &str) -> Result<(), Trouble> {
        unlock(&self.folder);
        // It fails if a file differs, which the checkout mends.
        let _ = self.git.run(&["update-index", "-q", "--refresh"]);
        self.git.run(&["checkout", "--quiet", "--force", "--detach", commit])?;
        Ok(())
    }

    /// The state of the source at a commit.
    pub(super) fn revision(&self, commit: &str, title: &str) -> Result<Revision, Trouble> {
        let source = match &self.kind {
            // The same changes make the same source, whichever other files the repository has.
            Kind::Patched { base, rest } => {
                hash(&[rest, &self.git.run(&["diff-tree", "-r", "--no-renames", base, commit])?])
            }
            Kind::Clone => hash(&["git", &self.git.run(&["rev-parse", &format!("{commit}^{{tree}}")])?]),
        };
        Ok(Revision { title: title.to_owned(), commit: commit.to_owned(), source })
    }

    /// A commit and its subject.
    fn described(&self, commit: &str) -> Result<Revision, Trouble> {
        let title = self.git.run(&["show", "--no-patch", "--format=%s", commit])?;
        self.revision(commit, &title)
    }

    /// The commit that `name` stands for in the tree, whose names this clone may not know.
    pub(super) fn resolve(&self, tree: &Path, name: &str) -> Result<Revision, Trouble> {
        let commit = Git::at(tree).run(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
        match commit {
            Ok(commit) => self.described(&commit),
            Err(GitError::Failed { .. }) => {
                let cause = format!("{} has no commit {name}", tree.display());
                Err(Trouble::usage(cause, "name commits as git does: a tag, a branch, HEAD~3 or a hash"))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The commits after `base` up to `tip`, the oldest first; of merged branches only the merge.
    pub(super) fn between(&self, base: &str, tip: &str) -> Result<Vec<Revision>, Trouble> {
        let range = format!("{base}..{tip}");
        let commits = self.git.run(&["rev-list", "--reverse", "--first-parent", &range])?;
        commits.lines().map(|commit| self.described(commit)).collect()
    }
}

/// A kill may have left it. Another command cannot be at work here: the results' file is locked.
fn unlock(folder: &Path) {
    for name in ["index.lock", "HEAD.lock"] {
        let _ = fs::remove_file(folder.join(name));
    }
}

fn commit(git: &Git, tree: &str, parent: Option<&str>, title: &str) -> Result<String, GitError> {
    let mut arguments = vec!["commit-tree", tree, "-m", title];
    arguments.extend(parent.iter().flat_map(|parent| ["-p", parent]));
    git.run(&arguments)
}

impl History for Repository {
    fn start(&mut self, good: &Revision, bad: &Revision) -> Result<Next, Trouble> {
        // One that was stopped is begun anew: what was tried is known.
        let _ = self.git.run(&["bisect", "reset"]);
        self.git.run(&["bisect", "start", "--no-checkout", &bad.commit, &good.commit])?;
        self.next()
    }

    fn mark(&mut self, revision: &Revision, mark: Mark) -> Result<Next, Trouble> {
        let word = match mark {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Skip => "skip",
        };
        match self.git.run(&["bisect", word, &revision.commit]) {
            // Git calls it a failure, too, if only skipped commits are left.
            Ok(_) | Err(GitError::Failed { .. }) => self.next(),
            Err(other) => Err(other.into()),
        }
    }
}

impl Repository {
    fn next(&self) -> Result<Next, Trouble> {
        let log = self.git.run(&["bisect", "log"])?;
        let found: Vec<(String, String)> = log.lines().filter_map(candidate).collect();
        if !found.is_empty() {
            return Ok(Next::Found(found));
        }
        let next = self.git.run(&["rev-parse", "--verify", "BISECT_HEAD"])?;
        Ok(Next::Try(self.described(&next)?))
    }
}

/// `# first bad commit: [HASH] TITLE`, or one of several possible ones.
fn candidate(line: &str) -> Option<(String, String)> {
    let rest = ["# first bad commit: [", "# possible first bad commit: ["].iter().find_map(|s| line.strip_prefix(s))?;
    let (commit, title) = rest.split_once("] ")?;
    Some((commit.to_owned(), title.to_owned()))
}
