//! The real thing: packages from the archive, a kernel, an edited kernel, a module. Uses, and fills, the user's cache.

use rig_images::{Images, ImagesError, Kernel, KernelRequest, Progress, SourceEdit};
use std::path::Path;
use std::process::Command;

const SUBJECT: &str = "arch/x86/virt/vmx/tdx/seamldr.c";

fn images() -> Images {
    Images::open(Progress::stderr()).expect("the cache opens")
}

fn kernel(images: &Images, request: &KernelRequest) -> Kernel {
    images.kernel(request).unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()))
}

#[test]
fn qemu_runs_from_its_own_root_and_takes_plugins() {
    let images = images();
    let root = images.tool_root().unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()));
    let version = root.qemu_version().unwrap();
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 11, "{version}");
    let help = root.qemu_command().args(["-plugin", "help"]).output().unwrap();
    let said = String::from_utf8_lossy(&help.stdout).into_owned() + &String::from_utf8_lossy(&help.stderr);
    assert!(!said.contains("invalid option"), "{said}");
    let qemu = images.manifest().into_iter().find(|artifact| artifact.name == "qemu-system-x86").unwrap();
    assert!(qemu.version.contains(&version) && qemu.sha256.len() == 64, "{qemu:?}");
}

#[test]
fn the_kernel_has_the_subject_and_its_modules_have_an_order() {
    let images = images();
    let kernel = kernel(&images, &KernelRequest::default());
    kernel.check_tdx_host().unwrap();
    let order = kernel.load_order("kvm-intel").unwrap();
    let names: Vec<_> = order.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["irqbypass.ko", "kvm.ko", "kvm-intel.ko"]);
    assert!(matches!(kernel.load_order("nonsense"), Err(ImagesError::NoModuleTree { .. })));
    // The same tree, as a person would hand it in.
    let given = Kernel::from_path(kernel.tree.as_ref().unwrap()).unwrap();
    assert_eq!((given.release, given.modules.len()), (kernel.release, kernel.modules.len()));
}

#[test]
fn an_edited_kernel_differs_only_where_it_was_edited() {
    let images = images();
    let plain = kernel(&images, &KernelRequest::default());
    let edit =
        SourceEdit::literal(SUBJECT, "ctrl->num_ack == num_online_cpus()", "ctrl->num_ack >= num_online_cpus() - 1");
    let edited = kernel(&images, &KernelRequest::edited(vec![edit]));
    let object = "drivers/virt/coco/tdx-host/tdx-host.ko";
    let read = |kernel: &Kernel, file: &str| std::fs::read(kernel.tree.as_ref().unwrap().join(file)).unwrap();
    assert_ne!(read(&plain, "vmlinux"), read(&edited, "vmlinux"));
    assert_eq!(read(&plain, object), read(&edited, object));
    assert_eq!(plain.release, edited.release);
}

#[test]
fn an_edit_that_matches_nothing_is_refused() {
    let edit = SourceEdit::literal(SUBJECT, "no such text in the kernel", "");
    let error = images().kernel(&KernelRequest::edited(vec![edit])).unwrap_err();
    assert!(matches!(&error, ImagesError::Edit { file, .. } if file == SUBJECT), "{error}");
}

#[test]
fn a_demand_that_kconfig_refuses_is_named() {
    let mut request = KernelRequest::default();
    request.profile[1].text.push_str("CONFIG_NO_SUCH_OPTION_EVER=y\n");
    let error = images().kernel(&request).unwrap_err();
    assert!(error.to_string().contains("`CONFIG_NO_SUCH_OPTION_EVER=y` of fragment tdx-host"), "{error}");
}

#[test]
fn a_module_builds_against_the_kernel() {
    let images = images();
    let kernel = kernel(&images, &KernelRequest::default());
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hello");
    let modules = images.build_modules(&kernel, &hello).unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()));
    assert_eq!(modules.len(), 1);
    assert_eq!(modules[0].file_name().unwrap(), "rig_hello.ko");
    assert!(!hello.join("rig_hello.ko").exists(), "the sources' folder stays clean");
}

#[test]
fn a_module_that_does_not_compile_says_where() {
    let images = images();
    let kernel = kernel(&images, &KernelRequest::default());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Kbuild"), "obj-m := wrong.o\n").unwrap();
    std::fs::write(folder.path().join("wrong.c"), "int f(void) { return undeclared_thing; }\n").unwrap();
    let error = images.build_modules(&kernel, folder.path()).unwrap_err();
    assert!(error.to_string().contains("wrong.c:1") && error.to_string().contains("undeclared_thing"), "{error}");
}

#[test]
fn a_userspace_has_its_packages_and_what_they_need() {
    let images = images();
    let packages = ["coreutils", "dash"].map(String::from);
    let userspace = images.userspace(&packages).unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()));
    let archive = std::fs::read(&userspace.archive).unwrap();
    let has = |name: &str| archive.windows(name.len()).any(|window| window == name.as_bytes());
    for name in ["usr/bin/dash\0", "usr/bin/sh\0", "usr/bin/cat\0", "usr/lib/x86_64-linux-gnu/libc.so.6\0"] {
        assert!(has(name), "{name}");
    }
    let artifacts = images.manifest();
    assert!(
        ["coreutils", "dash", "libc6"].iter().all(|name| artifacts.iter().any(|a| a.name == *name)),
        "{artifacts:?}"
    );
    let error = images.userspace(&["no-such-package-ever".to_owned()]).unwrap_err();
    assert!(matches!(&error, ImagesError::NoPackage(name) if name == "no-such-package-ever"), "{error}");
}

#[test]
fn the_parts_are_built_for_where_they_run() {
    let images = images();
    let agent = images.agent().unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()));
    let linked = Command::new("ldd").arg(&agent).output().unwrap();
    let said = String::from_utf8_lossy(&linked.stdout).into_owned() + &String::from_utf8_lossy(&linked.stderr);
    assert!(said.contains("statically linked") || said.contains("not a dynamic executable"), "{said}");
    let plugin = images.plugin().unwrap_or_else(|error| panic!("{error}\n{}", error.remedy()));
    assert!(plugin.is_file());
}
