use super::*;
use crate::scenario::Brought;
use std::fs;

fn scenario(given: &[&Path]) -> Scenario {
    let brings = vec![Brought { name: "client.py".into(), from: "its authors".into() }];
    let given = given.iter().map(|path| (*path).to_owned()).collect();
    let userspace = Userspace { packages: vec!["python3".into()], brings, given };
    Scenario { userspace: Some(userspace), ..Scenario::default() }
}

#[test]
fn what_is_brought_lies_beside_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let (client, library) = (folder.path().join("client.py"), folder.path().join("library"));
    fs::write(&client, "import cpuid").unwrap();
    fs::create_dir_all(library.join("cpuid")).unwrap();
    fs::write(library.join("cpuid/__init__.py"), "").unwrap();
    // What the rig makes cannot be replaced: the last one of a name counts.
    fs::write(library.join("mapping_file.json"), "not ours").unwrap();
    let files = files(&scenario(&[&client, &library])).unwrap();
    let names: Vec<String> = artifacts(&scenario(&[&client, &library])).unwrap().into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["client.py", "cpuid/__init__.py", "mapping_file.json"]);
    let find = |name: &str| files.iter().rfind(|(path, _)| path == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(find("client/client.py").1, b"import cpuid");
    assert!(find("client/cpuid/__init__.py").1.is_empty());
    assert!(find("client/mapping_file.json").1.starts_with(b"{"));
    assert!(find("client/joined_files/1.5/tdx_module_1.5.09.blob").1.len() > 4096);
}

#[test]
fn what_was_not_brought_skips_the_run() {
    let trouble = artifacts(&scenario(&[])).unwrap_err();
    assert_eq!(trouble.exit, Exit::Skipped);
    assert!(trouble.cause.contains("client.py") && trouble.help.contains("its authors"), "{trouble:?}");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.py");
    fs::write(&other, "").unwrap();
    assert_eq!(artifacts(&scenario(&[&other])).unwrap_err().exit, Exit::Skipped);
    assert_eq!(artifacts(&Scenario::default()), Ok(Vec::new()));
}

#[test]
fn cannot_bring_what_is_not_there_or_a_whole_checkout() {
    let missing = artifacts(&scenario(&[Path::new("/nonexistent/client.py")])).unwrap_err();
    assert!(missing.exit == Exit::Environment && missing.cause.contains("/nonexistent"), "{missing:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::File::create(folder.path().join("pack")).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let large = artifacts(&scenario(&[folder.path()])).unwrap_err();
    assert!(large.exit == Exit::Usage && large.cause.contains("64 MiB"), "{large:?}");
}
