//! Whether an update may begin now.

use super::Plan;
use crate::facts::{Facts, Tds};
use crate::version::Version;

/// Why an update must not begin, though it was planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadRefusal {
    /// CPUs are offline of which the plan does not know.
    #[error("CPUs {offline:?} are offline, and an update without them would lose the module")]
    Offline {
        /// Their numbers.
        offline: Vec<u16>,
    },
    /// The kernel does not say which CPUs are online.
    #[error("the kernel does not say which CPUs are online")]
    UnknownCpus,
    /// A load has one of them.
    #[error("{0}")]
    TakenByLoad(String),
    /// Too few updates remain.
    #[error("{remaining} update(s) are left until the next boot, and this needs {needed}")]
    UsedUp {
        /// As the kernel says.
        remaining: u32,
        /// With the one that is kept.
        needed: u32,
    },
    /// Their number cannot be read.
    #[error("how many updates are left cannot be read")]
    UnknownRemaining,
    /// Trust domains.
    #[error("trust domains run on this host ({0})")]
    TrustDomains(Tds),
    /// Another program uploads, or the device is gone.
    #[error("the upload device is not idle: {0}")]
    Busy(String),
    /// Another program updated, or the module is lost.
    #[error("{} runs, not {} as planned", name(*running), name(*planned))]
    Module {
        /// What runs.
        running: Option<Version>,
        /// What was to run.
        planned: Option<Version>,
    },
}

impl UploadRefusal {
    /// What mends it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Offline { .. } | Self::TakenByLoad(_) => {
                "bring all CPUs online (`rig-hw check` says how), and begin again"
            }
            Self::UnknownCpus => "look at /sys/devices/system/cpu/online and present",
            Self::UsedUp { .. } | Self::UnknownRemaining => {
                "find out who else updates this host; a reboot brings updates back, --last uses up the last one"
            }
            Self::TrustDomains(_) => "move them away, or say --with-tds: a failed update loses them all",
            Self::Busy(_) => "wait until /sys/class/firmware/tdx_module/status says idle, and begin again",
            Self::Module { .. } => "see `rig-hw check`, and find out who else updates this host",
        }
    }
}

fn name(version: Option<Version>) -> String {
    version.map_or_else(|| "no module".into(), |version| format!("module {version}"))
}

/// Whether the next update of this plan may begin on a host that is as the facts say. The facts must have been read for this
/// question, and nothing may come between its answer and the update.
pub fn may_upload(facts: &Facts, plan: &Plan) -> Result<(), UploadRefusal> {
    if facts.online.is_empty() || facts.present.is_empty() {
        return Err(UploadRefusal::UnknownCpus);
    }
    let offline: Vec<u16> = facts.offline().into_iter().filter(|cpu| !plan.offline.contains(cpu)).collect();
    if !offline.is_empty() {
        return Err(UploadRefusal::Offline { offline });
    }
    match &facts.upload {
        Some(status) if status == "idle" => {}
        status => return Err(UploadRefusal::Busy(status.clone().unwrap_or_else(|| "it is gone".into()))),
    }
    let running = facts.version();
    if running.is_none() || running != plan.running {
        return Err(UploadRefusal::Module { running, planned: plan.running });
    }
    if facts.tds != Tds::None && !plan.with_tds {
        return Err(UploadRefusal::TrustDomains(facts.tds));
    }
    enough_remain(facts, plan)
}

/// One is used, and one is kept unless it may be used up.
fn enough_remain(facts: &Facts, plan: &Plan) -> Result<(), UploadRefusal> {
    let needed = if plan.last { 1 } else { 2 };
    match facts.remaining {
        _ if plan.force => Ok(()),
        None => Err(UploadRefusal::UnknownRemaining),
        Some(remaining) if remaining < needed => Err(UploadRefusal::UsedUp { remaining, needed }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Image;
    use super::*;
    use crate::facts::Module;
    use crate::fake::Fake;
    use rstest::rstest;

    fn facts() -> Facts {
        Facts::of(&Fake::new().host())
    }

    fn plan() -> Plan {
        let running = Some("1.5.05".parse().unwrap());
        let image = Image { path: "image".into(), version: running, bytes: vec![1], sha256: String::new() };
        Plan {
            from: running,
            running,
            image,
            updates: 5,
            loads: Vec::new(),
            offline: Vec::new(),
            with_tds: false,
            last: false,
            force: false,
            warnings: Vec::new(),
        }
    }

    fn used_up(remaining: u32, needed: u32) -> UploadRefusal {
        UploadRefusal::UsedUp { remaining, needed }
    }

    #[test]
    fn may_begin_when_all_is_as_planned() {
        assert_eq!(may_upload(&facts(), &plan()), Ok(()));
    }

    #[rstest]
    #[case::offline(|f: &mut Facts| f.online = vec![0, 1, 3], UploadRefusal::Offline { offline: vec![2] })]
    #[case::no_cpus(|f: &mut Facts| (f.online, f.present) = (vec![], vec![]), UploadRefusal::UnknownCpus)]
    #[case::busy(|f: &mut Facts| f.upload = Some("transferring".into()), UploadRefusal::Busy("transferring".into()))]
    #[case::gone(|f: &mut Facts| f.upload = None, UploadRefusal::Busy("it is gone".into()))]
    #[case::last(|f: &mut Facts| f.remaining = Some(1), used_up(1, 2))]
    #[case::none_left(|f: &mut Facts| f.remaining = Some(0), used_up(0, 2))]
    #[case::unread(|f: &mut Facts| f.remaining = None, UploadRefusal::UnknownRemaining)]
    #[case::tds(|f: &mut Facts| f.tds = Tds::Running(1), UploadRefusal::TrustDomains(Tds::Running(1)))]
    #[case::maybe_tds(|f: &mut Facts| f.tds = Tds::Unknown(1), UploadRefusal::TrustDomains(Tds::Unknown(1)))]
    #[case::lost(|f: &mut Facts| f.module = Module::Lost, UploadRefusal::Module { running: None, planned: plan().running })]
    #[case::other(
        |f: &mut Facts| f.module = Module::Running("1.5.06".parse().unwrap()),
        UploadRefusal::Module { running: Some("1.5.06".parse().unwrap()), planned: plan().running }
    )]
    fn must_not_begin_when_anything_is_otherwise(#[case] change: fn(&mut Facts), #[case] expected: UploadRefusal) {
        let mut facts = facts();
        change(&mut facts);
        let refusal = may_upload(&facts, &plan()).unwrap_err();
        assert_eq!(refusal, expected);
        assert!(!refusal.help().is_empty() && !refusal.to_string().is_empty());
    }

    /// What was overridden is what was known when it was: no other CPU, and never the device or the module.
    #[test]
    fn what_was_overridden_may_be_so() {
        let (mut facts_now, mut planned) = (facts(), plan());
        facts_now.online = vec![0, 1, 3];
        planned.offline = vec![2];
        assert_eq!(may_upload(&facts_now, &planned), Ok(()));
        assert_eq!(may_upload(&facts(), &planned), Ok(()), "it is back");
        facts_now.online = vec![0, 1];
        assert!(may_upload(&facts_now, &planned).is_err());
        let (mut facts_now, mut planned) = (facts(), plan());
        (facts_now.tds, planned.with_tds) = (Tds::Running(2), true);
        (facts_now.remaining, planned.last) = (Some(1), true);
        assert_eq!(may_upload(&facts_now, &planned), Ok(()));
        (facts_now.remaining, planned.force) = (Some(0), true);
        assert_eq!(may_upload(&facts_now, &planned), Ok(()));
        facts_now.upload = None;
        assert!(may_upload(&facts_now, &planned).is_err());
    }

    /// After an update the module that it left must run when the next one begins.
    #[test]
    fn each_update_begins_with_what_the_one_before_left() {
        let mut facts_now = facts();
        let next = Plan { running: Some("1.5.06".parse().unwrap()), ..plan() };
        assert!(may_upload(&facts_now, &next).is_err());
        facts_now.module = Module::Running("1.5.06".parse().unwrap());
        assert_eq!(may_upload(&facts_now, &next), Ok(()));
    }
}
