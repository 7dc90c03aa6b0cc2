use super::*;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cache = Cache::open_at(folder.path(), &Progress::silent()).unwrap();
    (folder, cache)
}

fn recipe(input: u32) -> Recipe {
    Recipe { kind: "thing", what: format!("thing {input}"), inputs: json!({ "input": input }), space_bytes: 0 }
}

fn build(temp: &TempDir) -> Result<Manifest, ImagesError> {
    fs::write(temp.path().join("file"), "content").map_err(ImagesError::io(temp.path()))?;
    let artifacts = vec![crate::Artifact::of_file(temp.path(), "file", "1")?];
    Ok(Manifest { artifacts, ..Manifest::default() })
}

#[test]
fn can_find_again_what_was_made() {
    let (_folder, cache) = cache();
    let made = cache.entry(&recipe(1), build).unwrap();
    let found = cache.entry(&recipe(1), |_| panic!("it is there already")).unwrap();
    assert_eq!(made.path, found.path);
    assert_eq!(found.manifest.artifacts[0].path.as_deref(), Some(found.path.join("file").as_path()));
}

#[test]
fn cannot_mistake_one_recipe_for_another() {
    let (_folder, cache) = cache();
    let one = cache.entry(&recipe(1), build).unwrap();
    let two = cache.entry(&recipe(2), build).unwrap();
    assert_ne!(one.path, two.path);
}

#[test]
fn a_failed_build_leaves_nothing() {
    let (folder, cache) = cache();
    let error = cache.entry(&recipe(1), |temp| {
        build(temp)?;
        Err(ImagesError::NoMirror)
    });
    assert!(matches!(error, Err(ImagesError::NoMirror)));
    for place in ["entries", "tmp"] {
        assert_eq!(fs::read_dir(folder.path().join(place)).unwrap().count(), 0, "{place}");
    }
    cache.entry(&recipe(1), build).unwrap();
}

#[test]
fn cannot_begin_without_space() {
    let (folder, cache) = cache();
    let greedy = Recipe { space_bytes: u64::MAX, ..recipe(1) };
    let error = cache.entry(&greedy, |_| panic!("it must not begin")).unwrap_err();
    assert!(matches!(error, ImagesError::DiskFull(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn of_many_builders_at_once_one_builds_and_all_use() {
    let (folder, _cache) = cache();
    let builds = AtomicUsize::new(0);
    let all_have_it = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let cache = Cache::open_at(folder.path(), &Progress::silent()).unwrap();
                let entry = cache.entry(&recipe(1), |temp| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    build(temp)
                });
                // Each user keeps its lock until all have one: users do not wait for each other.
                all_have_it.wait();
                assert_eq!(fs::read_to_string(entry.unwrap().path.join("file")).unwrap(), "content");
            });
        }
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[test]
fn when_the_builder_fails_a_waiting_one_builds() {
    let (folder, _cache) = cache();
    let tries = AtomicUsize::new(0);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cache = Cache::open_at(folder.path(), &Progress::silent()).unwrap();
                let entry = cache.entry(&recipe(1), |temp| {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    if tries.fetch_add(1, Ordering::SeqCst) == 0 { Err(ImagesError::NoMirror) } else { build(temp) }
                });
                made.fetch_add(usize::from(entry.is_ok()), Ordering::SeqCst);
            });
        }
    });
    assert_eq!((tries.into_inner(), made.into_inner()), (2, 3));
}

#[test]
fn a_damaged_entry_is_made_again() {
    let (_folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    fs::write(path.join(MANIFEST), "{ half").unwrap();
    fs::write(path.join("file"), "garbage").unwrap();
    let entry = cache.entry(&recipe(1), build).unwrap();
    assert_eq!(fs::read_to_string(entry.path.join("file")).unwrap(), "content");
}

#[test]
fn can_clean_what_nobody_uses_and_cannot_clean_the_rest() {
    let (_folder, cache) = cache();
    let used = cache.entry(&recipe(1), build).unwrap();
    let kept = cache.entry(&recipe(2), build).unwrap().path;
    let unused = cache.entry(&recipe(3), build).unwrap().path;
    let removed = cache.clean(|entry| entry.what == "thing 2").unwrap();
    assert_eq!(removed.iter().map(|entry| entry.what.as_str()).collect::<Vec<_>>(), ["thing 3"]);
    fs::write(cache.folder("apt/lists"), "as if downloaded").unwrap();
    cache.clean(|_| true).unwrap();
    assert!(!cache.folder("apt/lists").exists());
    assert!(used.path.exists() && kept.exists() && !unused.exists());
}

#[test]
fn lists_what_is_there_with_its_size() {
    let (_folder, cache) = cache();
    cache.entry(&recipe(1), build).unwrap();
    let list = cache.list().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].what, "thing 1");
    assert!(list[0].size_bytes >= 7, "{}", list[0].size_bytes);
}

const CACHE_OF_CHILD: &str = "SEAMRIG_TEST_CACHE";

/// Starts this program again for one of its tests, which works in the cache at `root`.
fn start(test: &str, root: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("cache::tests::{test}")])
        .env(CACHE_OF_CHILD, root)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for something that another process does.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed().as_secs() < 60, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not a test: the process that the next test kills. It builds until it is killed.
#[test]
#[ignore = "run by a_killed_builder_leaves_nothing_to_its_successor"]
fn builder_to_be_killed() {
    let Some(root) = std::env::var_os(CACHE_OF_CHILD) else { return };
    let cache = Cache::open_at(Path::new(&root), &Progress::silent()).unwrap();
    let _entry = cache.entry(&recipe(1), |temp| {
        fs::write(temp.path().join("file"), "half").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(600));
        build(temp)
    });
}

#[test]
fn a_killed_builder_leaves_nothing_to_its_successor() {
    let (folder, cache) = cache();
    let mut child = start("builder_to_be_killed", folder.path());
    let temp = folder.path().join("tmp");
    let half_made = || fs::read_dir(&temp).unwrap().flatten().any(|entry| entry.path().join("file").exists());
    wait_until("the builder never started", half_made);
    // While it lives, neither its folder is swept nor its entry made by another.
    assert_eq!(lock::sweep(&temp).unwrap(), lock::Swept::default());
    assert!(Lock::try_exclusive(&folder.path().join("locks").join(recipe(1).name())).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    let reopened = Cache::open_at(folder.path(), &Progress::silent()).unwrap();
    assert!(!half_made());
    let entry = reopened.entry(&recipe(1), build).unwrap();
    assert_eq!(fs::read_to_string(entry.path.join("file")).unwrap(), "content");
    assert_eq!(cache.list().unwrap().len(), 1);
}

#[test]
fn of_a_kind_the_newest_and_the_used_ones_are_kept() {
    let (_folder, cache) = cache();
    let used = cache.entry(&recipe(0), build).unwrap();
    for input in 1..5 {
        cache.entry(&recipe(input), build).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    cache.retire("thing", 2).unwrap();
    let left: Vec<bool> = (0..5).map(|input| cache.has(&recipe(input))).collect();
    assert_eq!(left, [true, false, false, true, true]);
    assert!(used.path.exists());
    cache.retire("other", 0).unwrap();
    assert_eq!(cache.list().unwrap().len(), 3);
}

/// The recipe's entry, which must be there already.
fn again(cache: &Cache) -> Entry {
    cache.entry(&recipe(1), |_| panic!("it is there already")).unwrap()
}

/// Whether the recipe's entry was made anew when it was asked for.
fn is_made_anew(root: &Path) -> bool {
    let made = AtomicUsize::new(0);
    let cache = Cache::open_at(root, &Progress::silent()).unwrap();
    let entry = cache.entry(&recipe(1), |temp| {
        made.fetch_add(1, Ordering::SeqCst);
        build(temp)
    });
    assert_eq!(fs::read_to_string(entry.unwrap().path.join("file")).unwrap(), "content");
    made.into_inner() == 1
}

/// Not a test: the process that the next test kills in the middle of a removal.
#[test]
#[ignore = "run by a_removal_that_was_killed_leaves_no_entry"]
fn remover_to_be_killed() {
    let Some(root) = std::env::var_os(CACHE_OF_CHILD) else { return };
    let cache = Cache::open_at(Path::new(&root), &Progress::silent()).unwrap();
    let name = recipe(1).name();
    // What `Cache::remove_if` does, as far as it gets.
    let _lock = Lock::try_exclusive(&cache.lock_path(&name)).unwrap().unwrap();
    let taken = TempDir::take(&cache.folder("tmp"), &name, &cache.entry_path(&name)).unwrap();
    fs::remove_file(taken.path().join("file")).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_removal_that_was_killed_leaves_no_entry() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    let mut child = start("remover_to_be_killed", folder.path());
    let left = || fs::read_dir(folder.path().join("tmp")).unwrap().flatten().map(|entry| entry.path());
    let is_half_removed = |path: PathBuf| path.join(MANIFEST).exists() && !path.join("file").exists();
    wait_until("the remover never started", || left().any(is_half_removed));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!path.exists() && left().any(is_half_removed), "the manifest outlived the files");
    assert!(is_made_anew(folder.path()));
    assert_eq!(left().count(), 0, "the next process removes the rest");
}

#[test]
fn what_an_older_rig_removed_by_half_is_made_anew() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    fs::remove_file(path.join("file")).unwrap();
    assert!(is_made_anew(folder.path()));
}

#[test]
fn a_truncated_file_is_noticed_and_the_entry_made_anew() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    assert!(!is_made_anew(folder.path()));
    fs::File::options().write(true).open(path.join("file")).unwrap().set_len(3).unwrap();
    assert!(is_made_anew(folder.path()));
    assert!(!is_made_anew(folder.path()));
}

/// As a crash of the host leaves an entry: it was verified in another boot.
fn forget_the_stamp(path: &Path) {
    fs::remove_file(path.join(crate::members::STAMP)).unwrap();
}

#[test]
fn after_a_crash_the_content_is_looked_at() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    forget_the_stamp(&path);
    assert!(!is_made_anew(folder.path()));
    assert!(path.join(crate::members::STAMP).exists(), "what is as it was gets its stamp back");
    // Bits that the disk changed by itself leave the file's times as they are, which takes a stamp that was set after.
    fs::write(path.join("file"), "kontent").unwrap();
    Stamp::of(&members(&path).unwrap()).set(&path).unwrap();
    let used = cache.entry(&recipe(1), |_| panic!("nobody looks at the content")).unwrap();
    drop(used);
    forget_the_stamp(&path);
    assert!(is_made_anew(folder.path()));
}

#[test]
fn an_entry_that_lost_the_list_of_its_contents_is_made_anew() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    fs::write(path.join("contents.json"), "{ half").unwrap();
    forget_the_stamp(&path);
    assert!(is_made_anew(folder.path()));
}

/// Makes an entry what it was before there were lists of contents.
fn make_old(path: &Path) {
    let text = fs::read_to_string(path.join(MANIFEST)).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest.as_object_mut().unwrap().remove("form").unwrap();
    fs::write(path.join(MANIFEST), manifest.to_string()).unwrap();
    fs::remove_file(path.join("contents.json")).unwrap();
    forget_the_stamp(path);
}

#[test]
fn an_entry_of_the_old_form_is_verified_once_by_its_manifest() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    make_old(&path);
    assert!(!is_made_anew(folder.path()));
    assert!(path.join("contents.json").exists());
    again(&cache);
    fs::write(path.join("file"), "kontent").unwrap();
    assert!(is_made_anew(folder.path()));
    make_old(&path);
    fs::write(path.join("file"), "kontent").unwrap();
    assert!(is_made_anew(folder.path()), "its manifest has the hash of this file");
}

#[test]
fn what_a_program_left_in_an_entry_does_no_harm() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    fs::write(path.join("compiled.pyc"), "x").unwrap();
    assert!(!is_made_anew(folder.path()));
}

#[test]
fn an_entry_of_the_same_name_and_other_inputs_is_not_used() {
    let (folder, cache) = cache();
    let path = cache.entry(&recipe(1), build).unwrap().path;
    let text = fs::read_to_string(path.join(MANIFEST)).unwrap();
    fs::write(path.join(MANIFEST), text.replace("\"input\": 1", "\"input\": 2")).unwrap();
    assert!(!cache.has(&recipe(1)));
    assert!(is_made_anew(folder.path()));
}

#[test]
fn a_damaged_entry_that_others_use_is_an_error() {
    let (_folder, cache) = cache();
    let used = cache.entry(&recipe(1), build).unwrap();
    fs::remove_file(used.path.join("file")).unwrap();
    let error = cache.entry(&recipe(1), |_| panic!("its place is taken")).unwrap_err();
    assert!(matches!(&error, ImagesError::DamagedInUse { why, .. } if why == "file is missing"), "{error}");
    assert!(used.path.exists());
}

#[test]
fn verifying_finds_what_stamps_do_not_show() {
    let (_folder, cache) = cache();
    let used = cache.entry(&recipe(0), build).unwrap();
    let [good, bad, foreign] = [1, 2, 3].map(|input| cache.entry(&recipe(input), build).unwrap().path);
    for path in [&used.path, &bad] {
        fs::write(path.join("file"), "kontent").unwrap();
        Stamp::of(&members(path).unwrap()).set(path).unwrap();
    }
    fs::rename(&foreign, foreign.with_file_name("thing-0123456789abcdef")).unwrap();
    let mut verified = cache.verify().unwrap();
    verified.sort_by_key(|one| one.entry.what.clone());
    let found: Vec<_> = verified.iter().map(|one| (one.damage.as_deref(), one.removed)).collect();
    let changed = Some("file is not what it was");
    assert_eq!(
        found,
        [(changed, false), (None, false), (changed, true), (Some("it was made of something else"), true)]
    );
    assert!(used.path.exists() && good.exists() && !bad.exists());
}

#[test]
fn locks_do_not_outlive_their_entries() {
    let (folder, cache) = cache();
    let locks = || fs::read_dir(folder.path().join("locks")).unwrap().count();
    let used = cache.entry(&recipe(1), build).unwrap();
    cache.entry(&recipe(2), build).unwrap();
    assert_eq!(locks(), 2);
    cache.clean(|_| false).unwrap();
    assert_eq!(locks(), 1);
    assert!(cache.entry(&recipe(3), |_| Err(ImagesError::NoMirror)).is_err());
    assert_eq!(locks(), 1);
    // As older rigs left them.
    fs::write(folder.path().join("locks/thing-of-the-past"), "").unwrap();
    Cache::open_at(folder.path(), &Progress::silent()).unwrap();
    assert_eq!(locks(), 1);
    drop(used);
    cache.clean(|_| false).unwrap();
    assert_eq!(locks(), 0);
}

#[test]
fn old_logs_go_away() {
    let (folder, _cache) = cache();
    let logs = folder.path().join("logs");
    (0..LOGS_KEPT + 5).for_each(|n| fs::write(logs.join(format!("{n}.log")), "x").unwrap());
    Cache::open_at(folder.path(), &Progress::silent()).unwrap();
    assert_eq!(fs::read_dir(logs).unwrap().count(), LOGS_KEPT);
}

#[test]
fn an_entry_of_another_cache_is_used_as_it_is() {
    let (ours, theirs) = (cache(), cache());
    let made = theirs.1.entry(&recipe(1), build).unwrap();
    let link = ours.0.path().join("entries").join(recipe(1).name());
    std::os::unix::fs::symlink(&made.path, &link).unwrap();
    forget_the_stamp(&made.path);
    again(&ours.1);
    assert!(!made.path.join(crate::members::STAMP).exists(), "nothing is written there");
    assert!(ours.1.remove(&link).unwrap());
    assert!(made.path.join("file").exists(), "the link goes, not what it leads to");
}

#[test]
fn a_cache_that_everybody_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for root in [folder.path().to_owned(), folder.path().join("below")] {
        let error = Cache::open_at(&root, &Progress::silent()).unwrap_err();
        assert!(matches!(error, ImagesError::SharedCache { .. }), "{error}");
    }
}
