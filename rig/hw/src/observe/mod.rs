//! Seeing an update without an emulator: kprobes of the kernel, recorded by tracefs.

mod clock;
mod code;
mod kmsg;
mod peek;
mod probes;
mod records;
mod session;
mod symbols;
mod trace;
#[cfg(test)]
mod twins;

pub(crate) use kmsg::{KernelLog, LogLines, write as write_to_log};
pub(crate) use session::{Observed, Observer};

use crate::facts::Facts;
use crate::host::Host;
use probes::{FUNCTIONS, WORDS};
use rig_judge::{Invariant, Setup, SubjectNames};
use rig_wire::plan::{Function, Watch};
use std::collections::BTreeMap;

/// Modules (of this rig) that make SEAMCALLs without the kernel's functions for them.
const OWN_CALLERS: [&str; 4] = ["tdx_load", "tdx_raw", "tdx_update", "tdx_update_twins"];

/// The description of a host for the judge. `observer`: none when nothing is observed but the kernel's log.
pub(crate) fn setup(host: &Host, facts: &Facts, observer: Option<&Observer>) -> Setup {
    let lps = facts.present.last().map_or(1, |last| last + 1);
    let shows_state = observer.is_some_and(Observer::shows_state);
    let watch = |name: &&str| Watch { name: (*name).into(), address: 0, size: 4, within: Vec::new() };
    let function = |name: &&str| Function { name: (*name).into(), range: (0, 0) };
    Setup {
        online: facts.online.clone(),
        watches: if shows_state { WORDS.iter().map(watch).collect() } else { Vec::new() },
        functions: if observer.is_some() { FUNCTIONS.iter().map(function).collect() } else { Vec::new() },
        is_probed: true,
        knows_online: observer.is_some(),
        unobservable: unobservable(host, observer.is_some()),
        ..Setup::new(lps, SubjectNames::in_tree())
    }
}

/// What only the firmware can observe of an update on a host.
fn unobservable(host: &Host, observed: bool) -> BTreeMap<Invariant, String> {
    let mut reasons = BTreeMap::new();
    if !observed {
        let nothing = "the update was not observed (--blind)";
        let but_log = Invariant::ALL.into_iter().filter(|i| *i != Invariant::QuietKernel);
        return but_log.map(|i| (i, nothing.to_owned())).collect();
    }
    let mut say = |invariant, why: &str| drop(reasons.insert(invariant, why.to_owned()));
    say(Invariant::Preservation, "the state of trust domains cannot be read on hardware: only their firmware knows it");
    say(
        Invariant::Concurrency,
        "entries of SEAMCALL's callers are seen, not of the firmware: LPs inside it are not known",
    );
    if crate::facts::kvm_has_tdx(host) {
        let why = "KVM can enter trust domains (TDH.VP.ENTER), by code that the kernel does not allow to be probed";
        say(Invariant::UpdateOnly, why);
    }
    if let Some(module) = OWN_CALLERS.iter().find(|module| host.has(&format!("/sys/module/{module}"))) {
        say(Invariant::UpdateOnly, &format!("the module {module} is loaded and makes SEAMCALLs by itself"));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn what_cannot_be_observed_is_named() {
        let fake = Fake::new();
        let observed = unobservable(&fake.host(), true);
        assert_eq!(observed.keys().copied().collect::<Vec<_>>(), [Invariant::Preservation, Invariant::Concurrency]);
        assert_eq!(unobservable(&fake.host(), false).len(), Invariant::ALL.len() - 1);
        fake.put("/sys/module/kvm_intel/parameters/tdx", "Y");
        assert!(unobservable(&fake.host(), true)[&Invariant::UpdateOnly].contains("TDH.VP.ENTER"));
        fake.put("/sys/module/tdx_load/refcnt", "0");
        assert!(unobservable(&fake.host(), true)[&Invariant::UpdateOnly].contains("tdx_load"));
    }

    #[test]
    fn the_setup_of_the_judge_describes_the_host() {
        let fake = Fake::new();
        fake.put("/sys/devices/system/cpu/online", "0-2");
        let setup = setup(&fake.host(), &Facts::of(&fake.host()), None);
        assert_eq!((setup.lps, setup.online.as_slice()), (4, &[0, 1, 2][..]));
        assert!(setup.watches.is_empty() && setup.functions.is_empty());
    }
}
