//! Patches as files: an mbox, a mail, a plain diff, or a folder of them. Git splits and decodes them.

use super::git::{Git, GitError};
use crate::trouble::Trouble;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// One patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    /// Its subject, without what stands in brackets before it.
    pub(super) title: String,
    /// The number in its subject, as in `[PATCH 2/4]`.
    number: Option<u32>,
    /// What git applies.
    pub(super) diff: Vec<u8>,
    /// SHA-256 of that.
    pub(super) sha256: String,
}

/// The patches of a file, or of the files `*.patch` and `*.diff` of a folder by their names. Mails without a patch, such as cover
/// letters, are left out. If each subject has a number, that is the order.
pub(super) fn read(path: &Path) -> Result<Vec<Mail>, Trouble> {
    let mut mails = Vec::new();
    for file in files(path)? {
        mails.extend(of_file(&file)?);
    }
    if mails.is_empty() {
        let help = "give an mbox, a folder with files named *.patch, or --git TREE BASE..TIP";
        return Err(Trouble::usage(format!("there is no patch in {}", path.display()), help));
    }
    if mails.iter().all(|mail| mail.number.is_some()) {
        mails.sort_by_key(|mail| mail.number);
    }
    Ok(mails)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Trouble> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|e| Trouble::file("read", path, &e))?;
    let is_patch = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "patch" || ending == "diff");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_patch).collect();
    files.sort();
    Ok(files)
}

fn of_file(file: &Path) -> Result<Vec<Mail>, Trouble> {
    let text = fs::read(file).map_err(|e| Trouble::file("read", file, &e))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    of_text(&text, &name)
}

/// The patches of an mbox or of one mail; `name` is the title of one that has none.
pub(super) fn of_text(text: &[u8], name: &str) -> Result<Vec<Mail>, Trouble> {
    let failed = |e: std::io::Error| Trouble::file("use", &std::env::temp_dir(), &e);
    let folder = tempfile::tempdir().map_err(failed)?;
    let (whole, split) = (folder.path().join("whole"), folder.path().join("split"));
    fs::create_dir(&split).map_err(failed)?;
    fs::write(&whole, text).map_err(failed)?;
    let git = Git::at(folder.path());
    let output = format!("-o{}", split.display());
    git.run(&["mailsplit", "-b", &output, &whole.to_string_lossy()])?;
    let mut parts: Vec<PathBuf> = fs::read_dir(&split).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    parts.sort();
    let mut mails = Vec::new();
    for part in parts {
        mails.extend(of_mail(&git, &fs::read(&part).map_err(failed)?, name)?);
    }
    Ok(mails)
}

/// None: it has no patch.
fn of_mail(git: &Git, text: &[u8], name: &str) -> Result<Option<Mail>, GitError> {
    let folder = tempfile::tempdir().map_err(GitError::NotStarted)?;
    let (message, patch) = (folder.path().join("message"), folder.path().join("patch"));
    let info = git.feed(&["mailinfo", "-k", &message.to_string_lossy(), &patch.to_string_lossy()], text)?;
    let subject = info.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
    let decoded = fs::read(&patch).unwrap_or_default();
    // A plain diff is no mail.
    let Some(diff) = [decoded, text.to_vec()].into_iter().find(|text| is_diff(text)) else { return Ok(None) };
    let (title, number) = parse_subject(subject);
    let title = if title.is_empty() { name.to_owned() } else { title };
    let sha256 = format!("{:x}", Sha256::digest(&diff));
    Ok(Some(Mail { title, number, diff, sha256 }))
}

fn is_diff(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(b"diff --git ") || line.starts_with(b"+++ "))
}

/// What a subject says, and the number in its brackets.
fn parse_subject(subject: &str) -> (String, Option<u32>) {
    let (mut rest, mut number) = (subject.trim(), None);
    while let Some((brackets, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let of_words = |word: &str| word.split_once('/').and_then(|(number, _)| number.parse().ok());
        number = number.or_else(|| brackets.split_whitespace().find_map(of_words));
        rest = after.trim_start();
    }
    (rest.to_owned(), number)
}

/// The files that a diff speaks of, by their old and their new names.
pub(super) fn paths(diff: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(diff);
    let path = |line: &str| {
        let side = |name: &str| name.split_once('/').map(|(_, path)| path.to_owned());
        let plain = ["rename from ", "copy from "].iter().find_map(|start| line.strip_prefix(start));
        let sided = ["--- ", "+++ "].iter().find_map(|start| line.strip_prefix(start));
        let sided = sided.and_then(|name| name.split('\t').next()).and_then(side);
        let of_mode =
            || line.strip_prefix("diff --git ").and_then(|names| names.split_once(' ')).and_then(|(a, _)| side(a));
        plain.map(str::to_owned).or(sided).or_else(of_mode)
    };
    let mut paths: Vec<String> = text.lines().filter_map(path).filter(|path| path != "dev/null").collect();
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const DIFF: &str = "diff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-one\n+two\n";

    fn mail(subject: &str, body: &str) -> String {
        format!(
            "From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: {subject}\nDate: Mon, 1 Jun 2026 10:00:00 +0000\n\nwhy\n---\n{body}-- \n2.47\n\n"
        )
    }

    #[test]
    fn an_mbox_is_ordered_by_the_numbers_and_its_cover_letter_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.mbox");
        let text = [
            mail("[PATCH v2 0/2] Two patches", " x.c | 2 +-\n"),
            mail("[PATCH v2 2/2] x86: Second", DIFF),
            mail("[PATCH v2 1/2] x86: First", DIFF),
        ];
        fs::write(&path, text.concat()).unwrap();
        let mails = read(&path).unwrap();
        assert_eq!(mails.iter().map(|mail| mail.title.as_str()).collect::<Vec<_>>(), ["x86: First", "x86: Second"]);
    }

    #[test]
    fn a_folder_is_ordered_by_names_and_plain_diffs_have_the_names_of_their_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("02-b.patch"), DIFF).unwrap();
        fs::write(
            folder.path().join("01-a.patch"),
            "Subject: [PATCH] First\n\nWhy.\n---\nNo date.\n\n".to_owned() + DIFF,
        )
        .unwrap();
        fs::write(folder.path().join("README"), "no patch").unwrap();
        let mails = read(folder.path()).unwrap();
        assert_eq!(mails.iter().map(|mail| mail.title.as_str()).collect::<Vec<_>>(), ["First", "02-b"]);
        assert!(mails.iter().all(|mail| is_diff(&mail.diff)));
    }

    #[test]
    fn a_mail_is_decoded() {
        let encoded = DIFF.replace('+', "=2B");
        let text = format!(
            "From: A <a@b.c>\nSubject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable\n\nwhy\n---\n{encoded}"
        );
        let mails = of_text(text.as_bytes(), "x").unwrap();
        assert!(String::from_utf8_lossy(&mails[0].diff).contains("\n+two\n"), "{mails:?}");
    }

    #[test]
    fn what_has_no_patch_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "hello").unwrap();
        assert!(read(folder.path()).unwrap_err().cause.contains("no patch in"));
        assert!(read(&folder.path().join("a.txt")).unwrap_err().cause.contains("no patch in"));
    }

    #[test]
    fn subjects_have_brackets_and_numbers() {
        assert_eq!(parse_subject("[PATCH v3 02/14] x86: y [z]"), ("x86: y [z]".into(), Some(2)));
        assert_eq!(parse_subject("[RFC PATCH][net] a"), ("a".into(), None));
        assert_eq!(parse_subject("a"), ("a".into(), None));
    }

    #[test]
    fn a_diff_names_old_and_new_files() {
        let diff = "diff --git a/o.c b/n.c\nrename from o.c\nrename to n.c\n--- a/o.c\t2026\n+++ b/n.c\n@@\ndiff --git a/new.h b/new.h\nnew file mode 100644\n--- /dev/null\n+++ b/new.h\n";
        assert_eq!(paths(diff.as_bytes()), ["n.c", "new.h", "o.c"]);
    }
}
