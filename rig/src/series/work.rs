//! The commands: from what a person named to what came of it.

use super::bench::Revision;
use super::bisect::{self, FirstBad, Step};
use super::compare::{Patch, Series, compare};
use super::judging::Judging;
use super::known::KnownResults;
use super::mails::{self, Mail};
use super::repository::Repository;
use super::workshop::{Workshop, own_source};
use super::{PatchRow, ScenarioResult, SeriesReport};
use crate::fingerprint::{self, hash};
use crate::scenario::Scenario;
use crate::suite::Room;
use crate::trouble::Trouble;
use crate::whole_file;
use rig_images::{Images, Progress};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where the patches are.
#[derive(Clone, Debug)]
pub enum Patches {
    /// An mbox, a mail, a diff, or a folder of them.
    Files(PathBuf),
    /// Commits of a git tree, `BASE..TIP`.
    Range {
        /// The tree.
        tree: PathBuf,
        /// The range.
        range: String,
    },
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// Folder of results, evidence and sources.
    pub out: PathBuf,
    /// The patches.
    pub patches: Patches,
    /// A git tree whose HEAD patches out of files are applied on; none: the rig's own source.
    pub kernel_source: Option<PathBuf>,
    /// Whether each patch is tried alone on the base.
    pub each_alone: bool,
    /// Whether only the last state is tried.
    pub tip_only: bool,
    /// What is run on each.
    pub scenarios: Vec<Scenario>,
    /// What of a suite is not, with the reason.
    pub left_out: Vec<String>,
    /// Machines at once.
    pub room: Room,
}

/// Where a fault is looked for.
#[derive(Clone, Debug)]
pub struct BisectRequest {
    /// As for a series.
    pub out: PathBuf,
    /// The git tree.
    pub tree: PathBuf,
    /// `GOOD..BAD`.
    pub range: String,
    /// What is run on each commit.
    pub scenarios: Vec<Scenario>,
    /// Machines at once.
    pub room: Room,
}

/// Functions that are called while the work goes on.
pub struct Listener<'a> {
    /// Shows builds and downloads.
    pub progress: &'a Progress,
    /// Is called with the subject of the patch and the result whenever a run ends.
    pub on_result: &'a (dyn Fn(&str, &ScenarioResult) + Sync),
}

/// A repository, its folder, and the name of the rig's own source if it is of that.
struct Place {
    folder: PathBuf,
    repository: Repository,
    own: Option<String>,
}

/// Judges each patch against the kernel before it.
pub fn series(
    request: &SeriesRequest,
    listener: &Listener<'_>,
    on_row: impl FnMut(&PatchRow, usize),
) -> Result<SeriesReport, Trouble> {
    let store = KnownResults::open(&request.out.join("results.jsonl"))?;
    let images = Images::open(listener.progress.clone())?;
    let (place, mut series) = match &request.patches {
        Patches::Range { tree, range } => of_range(&request.out, tree, range)?,
        Patches::Files(path) => {
            let mails = mails::read(path)?;
            match &request.kernel_source {
                Some(tree) => on_tree(&request.out, tree, &mails, request.each_alone)?,
                None => on_own(&images, &request.out, &mails, request.each_alone)?,
            }
        }
    };
    series.left_out.clone_from(&request.left_out);
    if request.tip_only {
        series.patches.drain(..series.patches.len().saturating_sub(1));
    }
    let workshop = Workshop::new(&images, &place.repository, &place.folder, place.own.clone())?;
    let on_result = |revision: &Revision, result: &ScenarioResult| (listener.on_result)(&revision.title, result);
    let judging = judging(&images, &workshop, store, &request.out, &request.scenarios, request.room, &on_result)?;
    compare(&judging, &series, on_row)
}

/// Finds the first commit that makes a scenario end worse.
pub fn bisect(
    request: &BisectRequest,
    listener: &Listener<'_>,
    on_step: impl FnMut(&Step),
) -> Result<FirstBad, Trouble> {
    let store = KnownResults::open(&request.out.join("results.jsonl"))?;
    let images = Images::open(listener.progress.clone())?;
    let folder = folder_of(&request.out, &request.tree)?;
    let repository = Repository::of_tree(&folder, &request.tree)?;
    let [good, bad] = ends(&repository, &request.tree, &request.range)?;
    let workshop = Workshop::new(&images, &repository, &folder, None)?;
    let on_result = |revision: &Revision, result: &ScenarioResult| (listener.on_result)(&revision.title, result);
    let mut judging = judging(&images, &workshop, store, &request.out, &request.scenarios, request.room, &on_result)?;
    // Git is asked by two: by the bench for sources, and by the bisection for what comes next.
    let mut history = Repository::of_tree(&folder, &request.tree)?;
    bisect::bisect(&mut judging, &mut history, [&good, &bad], on_step)
}

/// The request for one mail of a git tree's history, as b4 hands it to a check: its commit against the one before, if HEAD's history
/// has it, else the mail on HEAD.
pub fn of_mail(tree: &Path, text: &[u8], out: &Path) -> Result<Patches, Trouble> {
    let mails = mails::of_text(text, "patch")?;
    let Some(mail) = mails.first() else {
        return Err(Trouble::usage("there is no patch in the mail", "give a mail with a patch on standard input"));
    };
    if let Some(commit) = super::git::commit_of_patch(tree, &mail.diff)? {
        return Ok(Patches::Range { tree: tree.to_owned(), range: format!("{commit}^..{commit}") });
    }
    let path = out.join(format!("{}.patch", &mail.sha256[..12]));
    whole_file::replace(&path, text)?;
    Ok(Patches::Files(path))
}

fn judging<'a>(
    images: &Images,
    workshop: &'a Workshop<'a>,
    store: KnownResults,
    out: &Path,
    scenarios: &[Scenario],
    room: Room,
    on_result: &'a (dyn Fn(&Revision, &ScenarioResult) + Sync),
) -> Result<Judging<'a, Workshop<'a>>, Trouble> {
    Ok(Judging {
        bench: workshop,
        store: Mutex::new(store),
        scenarios: scenarios.to_vec(),
        tools: fingerprint::of_tools(images)?.concat(),
        runs: out.join("runs"),
        room,
        on_result,
    })
}

/// Patches on the rig's own source.
fn on_own(images: &Images, out: &Path, mails: &[Mail], each_alone: bool) -> Result<(Place, Series), Trouble> {
    let folder = out.join("trees/own");
    let rest = own_source(images)?;
    let repository = Repository::of_patched(&folder, &images.kernel_source_folder()?, &rest, mails)?;
    let commit = repository.base().expect("it has one").to_owned();
    let base = repository.revision(&commit, "the rig's own kernel")?;
    let place = Place { folder, repository, own: Some(base.source.clone()) };
    let patches = applied(&place.repository, &base, mails, each_alone)?;
    Ok((place, Series { base, base_commit: None, patches, each_alone, left_out: Vec::new() }))
}

/// Patches on the HEAD of somebody's tree.
fn on_tree(out: &Path, tree: &Path, mails: &[Mail], each_alone: bool) -> Result<(Place, Series), Trouble> {
    let folder = folder_of(out, tree)?;
    let repository = Repository::of_tree(&folder, tree)?;
    let base = repository.resolve(tree, "HEAD")?;
    let place = Place { folder, repository, own: None };
    let patches = applied(&place.repository, &base, mails, each_alone)?;
    let base_commit = Some(base.commit.clone());
    Ok((place, Series { base, base_commit, patches, each_alone, left_out: Vec::new() }))
}

/// Commits of somebody's tree.
fn of_range(out: &Path, tree: &Path, range: &str) -> Result<(Place, Series), Trouble> {
    let folder = folder_of(out, tree)?;
    let repository = Repository::of_tree(&folder, tree)?;
    let [base, tip] = ends(&repository, tree, range)?;
    let patch = |revision: Revision| Patch {
        title: revision.title.clone(),
        commit: Some(revision.commit.clone()),
        sha256: None,
        applied: Ok(revision),
    };
    let patches: Vec<Patch> = repository.between(&base.commit, &tip.commit)?.into_iter().map(patch).collect();
    if patches.is_empty() {
        return Err(Trouble::usage(format!("{range} has no commit"), "name the older end first: BASE..TIP"));
    }
    let place = Place { folder, repository, own: None };
    let base_commit = Some(base.commit.clone());
    Ok((place, Series { base, base_commit, patches, each_alone: false, left_out: Vec::new() }))
}

fn ends(repository: &Repository, tree: &Path, range: &str) -> Result<[Revision; 2], Trouble> {
    let Some((older, newer)) = range.split_once("..").filter(|(older, _)| !older.is_empty()) else {
        return Err(Trouble::usage(format!("{range} is no range of commits"), "write it as BASE..TIP"));
    };
    let newer = if newer.is_empty() { "HEAD" } else { newer };
    Ok([repository.resolve(tree, older)?, repository.resolve(tree, newer)?])
}

/// Applies each patch on those before it, or alone on the base. One that does not apply is left out of what follows.
pub(super) fn applied(
    repository: &Repository,
    base: &Revision,
    mails: &[Mail],
    each_alone: bool,
) -> Result<Vec<Patch>, Trouble> {
    let mut parent = base.commit.clone();
    let mut patches = Vec::new();
    for mail in mails {
        let applied = match repository.apply(&parent, mail)? {
            Ok(commit) => {
                let revision = repository.revision(&commit, &mail.title)?;
                if !each_alone {
                    parent = commit;
                }
                Ok(revision)
            }
            Err(why) => Err(why),
        };
        patches.push(Patch { title: mail.title.clone(), commit: None, sha256: Some(mail.sha256.clone()), applied });
    }
    Ok(patches)
}

/// Where the clone of a tree and its objects are.
fn folder_of(out: &Path, tree: &Path) -> Result<PathBuf, Trouble> {
    let tree = tree.canonicalize().map_err(|e| Trouble::file("use", tree, &e))?;
    Ok(out.join("trees").join(&hash(&[&tree.to_string_lossy()])[..12]))
}
