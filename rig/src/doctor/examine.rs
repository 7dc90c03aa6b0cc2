//! The look at everything that runs need of this machine.

use super::host;
use super::item::{Item, State};
use crate::machine::kvm::{Kvm, kvm_anew, kvm_kept, try_kvm};
use crate::trouble::{Exit, Trouble};
use rig_images::{Images, KernelRequest, Progress, missing_host_tools};
use serde::Serialize;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorReport {
    /// Each item, in the order of looking.
    pub items: Vec<Item>,
    /// The best backend that works here.
    pub backend: &'static str,
    /// Why.
    pub backend_reason: String,
}

impl DoctorReport {
    /// 0 when runs work here.
    pub fn exit(&self) -> Exit {
        let works = self.items.iter().all(|item| item.state != State::Missing);
        if works { Exit::Passed } else { Exit::Environment }
    }
}

/// Looks at everything. Gets QEMU when it is not there yet, but builds nothing. What a probe of KVM found since this machine
/// was booted is taken for an answer, unless it is to be tried again.
pub fn examine(progress: &Progress, try_again: bool) -> Result<DoctorReport, Trouble> {
    let mut items = vec![host::cores(), host::memory(), tools()];
    let images = match Images::open(progress.clone()) {
        Ok(images) => images,
        Err(e) => {
            items.push(Item::missing("cache", e.to_string(), e.remedy()));
            return Ok(report(items, &Kvm::No("the cache cannot be used".into())));
        }
    };
    items.push(Item::good("cache", images.cache_folder().display().to_string()));
    items.push(host::space(&images.cache_folder()));
    let root = match images.tool_root().and_then(|root| Ok((root.qemu_version()?, root))) {
        Ok((version, root)) => {
            items.push(Item::good("QEMU", format!("{version}, in the cache")));
            root
        }
        Err(e) => {
            items.push(Item::missing("QEMU", e.to_string(), e.remedy()));
            return Ok(report(items, &Kvm::No("there is no QEMU to try it with".into())));
        }
    };
    let kernel = built_kernel(&images, &mut items);
    let (cache, qemu) = (images.cache_folder(), root.qemu_command());
    let kept = kernel.as_deref().filter(|_| !try_again).and_then(|kernel| kvm_kept(&cache, &qemu, kernel));
    let is_kept = kept.is_some();
    let kvm = kept.unwrap_or_else(|| {
        progress.say("trying KVM, which takes half a minute where it boots nothing");
        match &kernel {
            Some(kernel) => kvm_anew(&cache, &qemu, kernel),
            None => try_kvm(|| root.qemu_command(), None),
        }
    });
    items.push(kvm_item(&kvm, is_kept));
    Ok(report(items, &kvm))
}

/// The bzImage of the rig's kernel, if it was built already.
fn built_kernel(images: &Images, items: &mut Vec<Item>) -> Option<std::path::PathBuf> {
    let request = KernelRequest::default();
    let kernel = images.has_kernel(&request).then(|| images.kernel(&request).ok()).flatten();
    items.push(match &kernel {
        Some(kernel) => Item::good("kernel", format!("Linux {}, in the cache", kernel.release)),
        None => {
            Item::note("kernel", "not built yet; the first run builds it, in some minutes", "cargo rig images build")
        }
    });
    kernel.map(|k| k.bzimage)
}

/// What the probe of KVM found.
fn kvm_item(kvm: &Kvm, is_kept: bool) -> Item {
    let when = if is_kept { " (found earlier since this machine was booted; --try-kvm tries again)" } else { "" };
    match kvm {
        Kvm::Works { how, .. } => Item::good("KVM", format!("{how}{when}")),
        Kvm::No(why) => {
            let found = format!("does not work here: {why}{when}");
            Item::note("KVM", found, "nothing: runs use TCG, which needs no KVM")
        }
    }
}

fn tools() -> Item {
    match missing_host_tools() {
        tools if tools.is_empty() => Item::good("tools", "all programs that the builder calls are there"),
        tools => {
            let error = rig_images::ImagesError::MissingHostTools(tools);
            Item::missing("tools", error.to_string(), error.remedy())
        }
    }
}

fn report(items: Vec<Item>, kvm: &Kvm) -> DoctorReport {
    let (backend, why) = match kvm {
        Kvm::Works { .. } => (
            "kvm",
            "for the subject kmod; the in-tree one makes SEAMCALLs during boot, before the KVM shim module can be loaded",
        ),
        Kvm::No(_) => ("tcg", "it works everywhere, and KVM does not work here"),
    };
    DoctorReport { items, backend, backend_reason: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_kept_is_called_so() {
        let kvm = Kvm::No("no device".into());
        assert!(
            kvm_item(&kvm, true)
                .found
                .ends_with("no device (found earlier since this machine was booted; --try-kvm tries again)")
        );
        assert!(kvm_item(&kvm, false).found.ends_with("no device"));
    }

    #[test]
    fn only_what_is_missing_fails() {
        let with = |item| report(vec![Item::good("a", "b"), item], &Kvm::No(String::new())).exit();
        assert_eq!(with(Item::note("c", "d", "e")), Exit::Passed);
        assert_eq!(with(Item::missing("c", "d", "e")), Exit::Environment);
    }
}
