//! What the rig wants of the files beside a kernel's image.

use crate::doctor::{Item, State};
use rig_images::{ImagesError, Kernel, KernelConfig};
use std::path::Path;

/// What the rig found of a kernel: its symbols, its modules, and whether others can be built.
pub(super) fn items(kernel: &Kernel, config: &KernelConfig) -> Vec<Item> {
    let mut items = vec![image(kernel)];
    // Of an installed kernel nobody knows which file was copied first.
    let config_of_tree = kernel.config.as_deref().filter(|path| path.ends_with(".config"));
    items.extend(is_older(config_of_tree, kernel.starts_from()).then(|| {
        let found = "the configuration was changed after the kernel was built";
        Item::note("build", found, "build the kernel again")
    }));
    items.push(symbols(kernel));
    let modules =
        [("tdx-host", "CONFIG_TDX_HOST_SERVICES", State::Missing), ("kvm-intel", "CONFIG_KVM_INTEL", State::Note)];
    items.extend(modules.iter().filter_map(|(name, option, state)| module(kernel, config, name, option, *state)));
    items.push(match kernel.module_build() {
        Ok(found) => Item::good("build of modules", found),
        Err(error) => note("build of modules", &error),
    });
    items
}

fn image(kernel: &Kernel) -> Item {
    let started = kernel.starts_from().display();
    let found = format!("Linux {}, started from {started}", kernel.release);
    match (kernel.is_configured("CONFIG_PVH=y"), kernel.is_instrumented()) {
        (true, true) => {
            Item::good("image", format!("{found}: its PVH entry runs before KASAN's or KCSAN's memory is there"))
        }
        _ => Item::good("image", found),
    }
}

/// Whether the image was written before the configuration.
fn is_older(config: Option<&Path>, image: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    config.and_then(time).zip(time(image)).is_some_and(|(config, image)| image < config)
}

fn symbols(kernel: &Kernel) -> Item {
    let file = kernel.system_map.as_ref().or(kernel.vmlinux.as_ref());
    match (kernel.check_tdx_host(), file) {
        (Ok(()), Some(file)) => Item::good("symbols", format!("the update is in {}", file.display())),
        (Ok(()), None) => Item::good("symbols", "read from the kernel when it runs"),
        (Err(error), _) => Item::missing("symbols", error.to_string(), error.remedy()),
    }
}

/// A driver: built in, or a module whose file is there; nothing is said of one that the configuration does not have.
fn module(kernel: &Kernel, config: &KernelConfig, name: &'static str, option: &str, without: State) -> Option<Item> {
    let parameter = if name == "kvm-intel" { ", and is told tdx=1 on the kernel's command line" } else { "" };
    Some(match (config.value(option), kernel.module(name)) {
        (_, Some(file)) => Item::good(name, file.display().to_string()),
        (Some("y"), None) => Item::good(name, format!("is built in{parameter}")),
        (Some("m"), None) => Item {
            name,
            state: without,
            found: format!("{option}=m, but there is no {name}.ko with the kernel"),
            mend: Some(format!("run `make modules`, or put {name}.ko and what it depends on beside the image")),
        },
        _ => return None,
    })
}

fn note(name: &'static str, error: &ImagesError) -> Item {
    Item::note(name, format!("scenarios that need a module are skipped: {error}"), error.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, write};
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_kernel_that_is_older_than_its_configuration_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let [config, image] = [".config", "vmlinux"].map(|name| folder.path().join(name));
        write(&config, "").unwrap();
        write(&image, "").unwrap();
        let set = |path: &Path, seconds| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
        };
        set(&config, 10);
        set(&image, 20);
        assert!(!is_older(Some(&config), &image) && !is_older(None, &image));
        set(&config, 30);
        assert!(is_older(Some(&config), &image));
    }

    #[test]
    fn a_driver_may_be_built_in_and_a_module_needs_its_file() {
        let kernel = Kernel {
            bzimage: "/k/bzImage".into(),
            system_map: None,
            vmlinux: None,
            modules: vec!["/k/kvm-intel.ko".into()],
            release: "7.3.4".into(),
            config: None,
            tree: None,
        };
        let state = |config: &str, name, option| {
            module(&kernel, &KernelConfig::parse(config), name, option, State::Missing).map(|item| item.state)
        };
        assert_eq!(state("CONFIG_T=y", "tdx-host", "CONFIG_T"), Some(State::Good));
        assert_eq!(state("CONFIG_T=m", "tdx-host", "CONFIG_T"), Some(State::Missing));
        assert_eq!(state("", "tdx-host", "CONFIG_T"), None);
        assert_eq!(state("CONFIG_K=m", "kvm-intel", "CONFIG_K"), Some(State::Good));
    }
}
