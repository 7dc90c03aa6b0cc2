//! How a run's SEAMCALLs reach the emulated firmware, and why so.

use crate::machine::command::Processor;
use crate::machine::kvm::{Kvm, kvm_once};
use crate::scenario::{Backend, Scenario};
use crate::trouble::Trouble;
use rig_images::{Images, Kernel};
use std::process::Command;

/// Who brings a SEAMCALL to the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bridge {
    /// A plugin in QEMU.
    Plugin,
    /// A shim in the guest, through a mailbox that the rig serves.
    Mailbox,
}

/// What was chosen.
#[derive(Clone, Debug)]
pub(super) struct Backing {
    pub(super) processor: Processor,
    pub(super) bridge: Bridge,
    /// One line.
    pub(super) reason: String,
}

const ASKED: &str = "asked for";

impl Backing {
    /// The choice, where it needs no look at this machine.
    pub(super) fn decided(scenario: &Scenario) -> Option<Self> {
        let (processor, bridge, reason) = match (scenario.backend, scenario.needs_plugin()) {
            (Backend::Tcg, _) => (Processor::TdxHost, Bridge::Plugin, ASKED),
            (Backend::Auto, Some(why)) => (Processor::TdxHost, Bridge::Plugin, why),
            (Backend::TcgShim, _) => (Processor::Plain, Bridge::Mailbox, ASKED),
            (Backend::Auto | Backend::Kvm, _) => return None,
        };
        Some(Self { processor, bridge, reason: reason.into() })
    }

    /// The choice where KVM would do: it is used if it boots something.
    pub(super) fn probed(
        images: &Images,
        scenario: &Scenario,
        qemu: &Command,
        kernel: &Kernel,
    ) -> Result<Self, Trouble> {
        let kvm = kvm_once(&images.cache_folder(), qemu, &kernel.bzimage);
        Self::by_probe(scenario.backend, kvm)
    }

    fn by_probe(asked: Backend, kvm: Kvm) -> Result<Self, Trouble> {
        match kvm {
            Kvm::Works { model, how } => {
                let reason = if asked == Backend::Kvm { format!("{ASKED}; it {how}") } else { format!("it {how}") };
                Ok(Self { processor: Processor::Kvm(model), bridge: Bridge::Mailbox, reason })
            }
            Kvm::No(why) if asked == Backend::Kvm => {
                let help = "`rig doctor --try-kvm` tries it again; --backend tcg needs no KVM";
                Err(Trouble::environment(format!("KVM does not work here: {why}"), help))
            }
            Kvm::No(why) => Ok(Self {
                processor: Processor::TdxHost,
                bridge: Bridge::Plugin,
                reason: format!("KVM does not work here: {why}"),
            }),
        }
    }

    /// As verdicts name it.
    pub(super) fn name(&self) -> &'static str {
        match (&self.processor, self.bridge) {
            (Processor::Kvm(_), _) => "kvm",
            (_, Bridge::Plugin) => "tcg",
            (_, Bridge::Mailbox) => "tcg-shim",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Subject;

    fn kmod(backend: Backend) -> Scenario {
        Scenario { subject: Subject::Kmod, backend, ..Scenario::default() }
    }

    #[test]
    fn a_kvm_that_boots_nothing_is_a_reason_for_tcg_and_not_an_error() {
        assert!(Backing::decided(&kmod(Backend::Auto)).is_none());
        let backing = Backing::by_probe(Backend::Auto, Kvm::No("-cpu host: QEMU ended".into())).unwrap();
        assert_eq!((backing.name(), backing.bridge), ("tcg", Bridge::Plugin));
        assert_eq!(backing.reason, "KVM does not work here: -cpu host: QEMU ended");
        assert!(!backing.reason.contains('\n'));
    }

    #[test]
    fn kvm_on_request_is_used_or_refused_with_an_error() {
        let works = Kvm::Works { model: "host".into(), how: "booted a kernel with -cpu host".into() };
        let backing = Backing::by_probe(Backend::Kvm, works).unwrap();
        assert_eq!((backing.name(), backing.processor), ("kvm", Processor::Kvm("host".into())));
        let trouble = Backing::by_probe(Backend::Kvm, Kvm::No("no device".into())).unwrap_err();
        assert!(trouble.cause.contains("no device") && trouble.help.contains("tcg"));
    }

    #[test]
    fn the_in_tree_subject_never_meets_kvm() {
        let backing = Backing::decided(&Scenario::default()).unwrap();
        assert_eq!(backing.name(), "tcg");
        assert!(backing.reason.contains("before the KVM shim module can be loaded"));
        assert_eq!(Backing::decided(&kmod(Backend::TcgShim)).unwrap().name(), "tcg-shim");
    }
}
