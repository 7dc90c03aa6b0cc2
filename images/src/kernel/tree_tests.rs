use super::*;
use crate::kernel::header::fabricate;
use crate::kernel::modules::module_name;

const MAP: &str = "ffffffff81000000 T _text\nffffffff81001000 T seamldr_install_module\n";

/// Writes files below a new folder.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn image() -> Vec<u8> {
    fabricate("7.3.4-test (a@b) #1")
}

#[test]
fn can_take_a_build_tree() {
    let tree = folder(&[
        (IMAGE, &image()),
        ("System.map", MAP.as_bytes()),
        (".config", b"CONFIG_INTEL_TDX_HOST=y\n"),
        ("modules.order", b"drivers/z.o\ndrivers/virt/coco/tdx-host/tdx-host.o\n"),
        ("drivers/virt/coco/tdx-host/tdx-host.ko", b""),
        ("drivers/a.ko", b""),
        ("drivers/z.ko", b""),
    ]);
    let kernel = Kernel::from_path(tree.path()).unwrap();
    assert_eq!(kernel.release, "7.3.4-test");
    let names: Vec<String> = kernel.modules.iter().map(|path| module_name(path)).collect();
    assert_eq!(names, ["z", "tdx_host"]);
    fs::remove_file(tree.path().join("modules.order")).unwrap();
    assert_eq!(Kernel::from_path(tree.path()).unwrap().modules.len(), 3);
    assert!(kernel.module("tdx-host").is_some() && kernel.module("tdx_host").is_some());
    assert!(kernel.module("nonsense").is_none());
    assert_eq!(kernel.vmlinux, None);
}

#[test]
fn can_take_an_image_with_its_map() {
    for map in ["System.map", "System.map-7.3.4-test"] {
        let files = folder(&[("vmlinuz", &image()), (map, MAP.as_bytes()), ("x.ko", b"")]);
        let kernel = Kernel::from_path(&files.path().join("vmlinuz")).unwrap();
        assert_eq!(kernel.system_map.unwrap().file_name().unwrap(), map);
        assert_eq!(kernel.modules.len(), 1);
    }
}

#[test]
fn cannot_take_what_has_no_image() {
    let empty = folder(&[("System.map", MAP.as_bytes()), ("text", b"no kernel")]);
    for path in [empty.path().to_owned(), empty.path().join("text"), empty.path().join("missing")] {
        let error = Kernel::from_path(&path).unwrap_err();
        assert!(matches!(error, ImagesError::NoKernelImage(_)), "{error}");
    }
}

#[test]
fn cannot_take_an_image_without_symbols() {
    let files = folder(&[("bzImage", &image()), ("System.map-6.1", MAP.as_bytes())]);
    let error = Kernel::from_path(&files.path().join("bzImage")).unwrap_err();
    assert!(matches!(error, ImagesError::NoSymbols(_)), "{error}");
    let stub = b"ffffffffffffffff B The real System.map is in the linux-image-dbg package\n";
    let files = folder(&[("bzImage", &image()), ("System.map", stub)]);
    let error = Kernel::from_path(&files.path().join("bzImage")).unwrap_err();
    assert!(matches!(error, ImagesError::NoSymbols(_)), "{error}");
}

#[test]
fn cannot_take_a_kernel_without_the_subject() {
    let old = "ffffffff81000000 T _text\nffffffff81000010 T seamldr_install_module_not\n";
    let by_symbol = folder(&[(IMAGE, &image()), ("System.map", old.as_bytes())]);
    let by_config = folder(&[
        (IMAGE, &image()),
        ("System.map", MAP.as_bytes()),
        (".config", b"# CONFIG_INTEL_TDX_HOST is not set\n"),
    ]);
    for (tree, evidence) in [(by_symbol, "symbol"), (by_config, "CONFIG_INTEL_TDX_HOST")] {
        let error = Kernel::from_path(tree.path()).unwrap_err();
        assert!(matches!(error, ImagesError::NoTdxHost { .. }) && error.to_string().contains(evidence), "{error}");
        assert!(Kernel::from_path_any(tree.path()).is_ok());
    }
}

#[test]
fn an_instrumented_kernel_is_not_started_at_its_pvh_entry() {
    let started = |config: &str| {
        let files: [(&str, &[u8]); 4] =
            [(IMAGE, &image()), ("vmlinux", b""), ("System.map", MAP.as_bytes()), (".config", config.as_bytes())];
        let tree = folder(&files);
        let kernel = Kernel::from_path_any(tree.path()).unwrap();
        kernel.starts_from().file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(started("CONFIG_PVH=y\n"), "vmlinux");
    assert_eq!(started("# CONFIG_PVH is not set\n"), "bzImage");
    assert_eq!(started("CONFIG_PVH=y\nCONFIG_KASAN=y\n"), "bzImage");
    assert_eq!(started("CONFIG_PVH=y\nCONFIG_KCSAN=y\n"), "bzImage");
}

#[test]
fn a_driver_that_is_built_in_needs_no_file() {
    let order = |config: &str, files: &[&str]| {
        let mut all: Vec<(&str, &[u8])> =
            vec![(IMAGE, &[]), ("System.map", MAP.as_bytes()), (".config", config.as_bytes())];
        let image = image();
        all[0].1 = &image;
        all.extend(files.iter().map(|file| (*file, &b""[..])));
        let tree = folder(&all);
        let kernel = Kernel::from_path_any(tree.path()).unwrap();
        (kernel.driver_order("tdx-host", "CONFIG_TDX_HOST_SERVICES").map(|files| files.len()), kernel.most_cpus())
    };
    let module = "CONFIG_TDX_HOST_SERVICES=m\nCONFIG_NR_CPUS=8\n";
    assert!(matches!(order(module, &["other.ko"]), (Err(ImagesError::NoModule { .. }), Some(8))));
    assert!(matches!(order(module, &["tdx-host.ko"]), (Ok(1), _)));
    // An earlier build left a module behind.
    assert!(matches!(order("CONFIG_TDX_HOST_SERVICES=y\n", &["tdx-host.ko", "other.ko"]), (Ok(0), None)));
}

#[test]
fn an_installed_kernel_has_its_modules_where_they_are_installed() {
    for (boot, modules) in [("boot/vmlinuz-7.3.4-test", "lib/modules"), ("boot/vmlinuz-7.3.4-test", "usr/lib/modules")]
    {
        let file = format!("{modules}/7.3.4-test/kernel/drivers/virt/tdx-host.ko.xz");
        let image = image();
        let root = folder(&[(boot, &image), ("boot/System.map-7.3.4-test", MAP.as_bytes()), (&file, b"")]);
        let kernel = Kernel::from_path(&root.path().join(boot)).unwrap();
        assert_eq!(kernel.module("tdx-host"), Some(&root.path().canonicalize().unwrap().join(file)));
        assert_eq!(kernel.tree, None);
    }
    let image = image();
    let together = "lib/modules/7.3.4-test";
    let [vmlinuz, map, module] = ["vmlinuz", "System.map", "kernel/a.ko"].map(|name| format!("{together}/{name}"));
    let build = format!("{together}/build/.config");
    let root = folder(&[(&vmlinuz, &image), (&map, MAP.as_bytes()), (&module, b""), (&build, b"")]);
    let kernel = Kernel::from_path(&root.path().join(&vmlinuz)).unwrap();
    assert_eq!(kernel.modules.len(), 1);
    assert!(kernel.tree.unwrap().ends_with("7.3.4-test/build"));
}
