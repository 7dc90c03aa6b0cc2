use super::*;

#[test]
fn can_read_what_would_be_downloaded() {
    let text = "Reading package lists...\n\
        'http://m.example/pool/q.deb' qemu-system-x86_1%3a11.1.3+ds-1~bpo13+1_amd64.deb 9000 SHA256:00\n\
        'http://m.example/pool/l.deb' linux-source-7.3_7.3.4-1~bpo13+1_all.deb 1 SHA256:00\n";
    let packages = parse_uris(text);
    assert_eq!(packages[0].name, "qemu-system-x86");
    assert_eq!(packages[0].version, "1:11.1.3+ds-1~bpo13+1");
    assert_eq!(packages[0].file, "qemu-system-x86_1%3a11.1.3+ds-1~bpo13+1_amd64.deb");
    assert_eq!(packages[1].version, "7.3.4-1~bpo13+1");
    assert_eq!(packages.len(), 2);
}

#[test]
fn cannot_read_packages_from_prose() {
    assert_eq!(parse_uris("'quoted' prose here\nE: Unable to locate package x\n"), []);
}

#[test]
fn reads_versions_newest_first() {
    let text = " qemu | 1:11.1 | http://m.example trixie-backports/main amd64 Packages\n \
                 qemu | 1:10.0 | http://m.example trixie/main amd64 Packages\n \
                 qemu | 1:10.0 | http://m.example trixie/main Sources\n";
    assert_eq!(parse_madison(text), ["1:11.1", "1:10.0"]);
}

#[test]
fn reads_progress() {
    assert_eq!(download_status("dlstatus:3:25.4185:Retrieving file 3 of 18"), Some((25, "Retrieving file 3 of 18")));
    assert_eq!(download_status("Get:18 http://m.example x"), None);
}

#[test]
fn complaints_are_distinguished() {
    let check = |line: &str| classify(&[line.to_owned()], Path::new("/cache"));
    let network = "E: Failed to fetch http://m.example/x  Could not resolve 'm.example'";
    assert!(matches!(check(network), Some(ImagesError::NoNetwork(line)) if line.starts_with("Failed to fetch")));
    let unsigned = "W: GPG error: http://m.example x InRelease: NO_PUBKEY 123";
    assert!(matches!(check(unsigned), Some(ImagesError::Untrusted(_))));
    let full = "E: Write error - write (28: No space left on device)";
    assert!(matches!(check(full), Some(ImagesError::DiskFull(_))));
    assert!(matches!(check("E: Unable to locate package x"), Some(ImagesError::NoPackage(name)) if name == "x"));
    assert!(check("E: something new").is_none());
}

#[test]
fn no_setting_of_the_host_is_read() {
    let text = configuration(Path::new("/c"), "Acquire::http::Proxy \"http://p.example\";\n");
    for line in ["Dir::Etc::parts \"/dev/null\";", "Dir::State::status \"/c/status\";", "Acquire::http::Proxy"] {
        assert!(text.contains(line), "{line}");
    }
}

fn open_with(mirror: &str) -> ImagesError {
    let home = tempfile::tempdir().unwrap();
    Apt::open_at(home.path(), mirror, &[SUITE], &Progress::silent()).expect_err("this mirror is useless")
}

#[test]
fn a_mirror_that_does_not_answer_is_no_network() {
    // The discard port of this very machine: refused at once.
    let error = open_with("http://127.0.0.1:9/debian");
    assert!(matches!(error, ImagesError::NoNetwork(_)), "{error:?}");
}

#[test]
fn a_mirror_without_the_archives_signature_is_not_trusted() {
    let mirror = tempfile::tempdir().unwrap();
    for suite in [SUITE, BACKPORTS] {
        let folder = mirror.path().join("dists").join(suite);
        fs::create_dir_all(&folder).unwrap();
        let unsigned = format!("Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\nComponents: main\n");
        fs::write(folder.join("Release"), &unsigned).unwrap();
        fs::write(folder.join("InRelease"), unsigned).unwrap();
    }
    let error = open_with(&format!("file:{}", mirror.path().display()));
    assert!(matches!(error, ImagesError::Untrusted(_)), "{error:?}");
}
