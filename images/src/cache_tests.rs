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
                // Nobody lets go before everybody has it: users do not wait for each other.
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

#[test]
fn the_environment_decides_where_the_cache_is() {
    let root = |pairs: &[(&str, &str)]| {
        default_root(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    };
    assert_eq!(root(&[("RIG_CACHE", "/a"), ("XDG_CACHE_HOME", "/b")]), Path::new("/a"));
    assert_eq!(root(&[("XDG_CACHE_HOME", "/b"), ("HOME", "/h")]), Path::new("/b/seamrig"));
    assert_eq!(root(&[("RIG_CACHE", ""), ("HOME", "/h")]), Path::new("/h/.cache/seamrig"));
    assert_eq!(root(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]), Path::new("/h/.cache/seamrig"));
}

/// Not a test: the process that the next test kills. It builds until it is killed.
#[test]
#[ignore = "run by a_killed_builder_leaves_nothing_to_its_successor"]
fn builder_to_be_killed() {
    let Some(root) = std::env::var_os("KILLED_BUILDER_CACHE") else { return };
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
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "cache::tests::builder_to_be_killed"])
        .env("KILLED_BUILDER_CACHE", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let temp = folder.path().join("tmp");
    let half_made = || fs::read_dir(&temp).unwrap().flatten().any(|entry| entry.path().join("file").exists());
    let since = Instant::now();
    while !half_made() {
        assert!(since.elapsed().as_secs() < 60, "the builder never started");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // While it lives, neither its folder is swept nor its entry made by another.
    assert_eq!(lock::sweep(&temp).unwrap(), 0);
    assert!(lock::open(&folder.path().join("locks").join(recipe(1).name())).unwrap().try_lock().is_err());
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
