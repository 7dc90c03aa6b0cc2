//! Why an update failed, in one line of cause and one of remedy.

use crate::facts::Module;
use crate::trouble::Trouble;
use rig_judge::timeline::{Leaf, Status};
use rig_wire::agent::UploadOutcome;
use rig_wire::event::{Kind, Record};

const EBUSY: i32 = 16;
const INSTALL: u64 = Leaf::INSTALL.0;
const SHUTDOWN: u64 = Leaf::SHUTDOWN.0;

/// One line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What happened.
    pub(crate) cause: String,
    /// What mends it.
    pub(crate) help: String,
}

impl Words {
    /// Only the module's version shows what became of an update whose outcome cannot be read.
    pub(crate) fn unreadable(why: &str, after: &Module) -> Self {
        let (state, help) = match after {
            Module::Lost => (": this host has no TDX module now".to_owned(), REBOOT),
            Module::Running(version) => (format!(", but module {version} runs"), "read the kernel's log"),
            _ => (String::new(), "read the kernel's log; `rig-hw check` says whether a module runs"),
        };
        Self { cause: format!("the update's outcome cannot be read ({why}){state}"), help: help.into() }
    }
}

impl From<Trouble> for Words {
    fn from(Trouble { cause, help, .. }: Trouble) -> Self {
        Self { cause, help }
    }
}

const REBOOT: &str = "reboot this machine: its trust domains are lost, and none can start before";

/// The SEAMCALL that failed: its leaf and its status.
type Failed = (Leaf, Status);

/// Puts together what the kernel, its log, the probes and the module's version say.
pub(crate) fn explain(outcome: &UploadOutcome, log: &[String], records: &[Record], after: &Module) -> Words {
    let failed = first_failure(records).or_else(|| log.iter().rev().find_map(|line| of_log(line)));
    let call = failed.map(|(leaf, status)| format!("{} answered {}", leaf.name(), status.name()));
    if *after == Module::Lost {
        let call = call.map_or_else(String::new, |call| format!(" ({call})"));
        return Words {
            cause: format!("the update failed after the old module was gone{call}: this host has no TDX module now"),
            help: REBOOT.into(),
        };
    }
    if outcome.errno == Some(EBUSY) {
        return Words {
            cause: "the kernel refuses the image: another upload is under way (EBUSY)".into(),
            help: "wait until /sys/class/firmware/tdx_module/status says idle, and try again".into(),
        };
    }
    match (failed, call, outcome.errno) {
        (Some((leaf, status)), Some(call), _) => {
            Words { cause: format!("the update failed, the old module runs on: {call}"), help: remedy(leaf, status) }
        }
        (_, _, Some(errno)) => Words {
            cause: format!("the kernel does not take the image (errno {errno})"),
            help: "check that nobody else uses /sys/class/firmware/tdx_module, and read the kernel's log".into(),
        },
        _ => Words {
            cause: format!("the kernel refuses the image before any SEAMCALL ({})", outcome.error),
            help: "take an image in the format that this kernel knows (version 0x200)".into(),
        },
    }
}

/// The first SEAMCALL of an update's steps that failed for good.
fn first_failure(records: &[Record]) -> Option<Failed> {
    let exits = records.iter().filter(|r| r.kind == Kind::SeamcallExit as u16);
    let mut calls = exits.map(|r| (Leaf::of(r), Status::of(r)));
    calls.find(|(leaf, status)| leaf.step().is_some() && !status.is_success() && !status.is_retried())
}

/// `seamldr: SEAMCALL (0x8000000000000001) failed: 0x8000000000020000`.
fn of_log(line: &str) -> Option<Failed> {
    let (leaf, status) = line.split_once("SEAMCALL (")?.1.split_once(") failed: ")?;
    let number = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    Some((Leaf(number(leaf)?), Status::Returned(number(status)?)))
}

/// What helps against a status, where the module still runs.
fn remedy(leaf: Leaf, status: Status) -> String {
    let Status::Returned(status) = status else {
        return "read the kernel's log".into();
    };
    match (leaf.0, status) {
        (SHUTDOWN, 0x8000_0202_0000_0000) => "other SEAMCALLs were under way: try again when the host is quieter",
        (SHUTDOWN, s) if s >> 32 == 0x8000_0512 => "trust domains are being built or migrated: try again later",
        (SHUTDOWN, s) if s >> 32 == 0xc000_0100 => "the module refuses its handoff version: take another image",
        (INSTALL, _) => "take an image that the release's mapping file allows, from a trustworthy place",
        _ => "read the kernel's log",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::event::flags;
    use rstest::rstest;

    fn outcome(error: &str, errno: Option<i32>) -> UploadOutcome {
        UploadOutcome { status: "idle".into(), error: error.into(), errno, duration_us: 1 }
    }

    fn exit(leaf: u64, status: u64, flags: u32) -> Record {
        Record { kind: Kind::SeamcallExit as u16, flags, a: leaf, b: status, ..Record::default() }
    }

    fn running() -> Module {
        Module::Running("1.5.05".parse().unwrap())
    }

    const INVALID: &str = "transferring:firmware-invalid";

    #[rstest]
    #[case::busy(outcome("", Some(16)), "", running(), "EBUSY", "wait")]
    #[case::eperm(outcome("", Some(1)), "", running(), "errno 1", "log")]
    #[case::format(outcome(INVALID, None), "", running(), "before any SEAMCALL", "format")]
    #[case::module_busy(
        outcome(INVALID, None),
        "SEAMCALL (0x0000000000000034) failed: 0x8000020200000000",
        running(),
        "SYS_BUSY",
        "quieter"
    )]
    #[case::building(
        outcome(INVALID, None),
        "SEAMCALL (0x0000000000000034) failed: 0x8000051200030000",
        running(),
        "0x8000051200030000",
        "built"
    )]
    #[case::lost(
        outcome(INVALID, None),
        "seamldr: SEAMCALL (0x8000000000000001) failed: 0x8000000000020000",
        Module::Lost,
        "EBADSIG",
        "reboot this machine"
    )]
    #[case::lost_without_a_word(outcome(INVALID, None), "", Module::Lost, "no TDX module now", "reboot this machine")]
    fn every_failure_has_its_words(
        #[case] outcome: UploadOutcome,
        #[case] log: &str,
        #[case] after: Module,
        #[case] cause: &str,
        #[case] help: &str,
    ) {
        let words = explain(&outcome, &["other".into(), log.into()], &[], &after);
        assert!(words.cause.contains(cause) && words.help.contains(help), "{words:?}");
    }

    /// A retried answer is no failure, and the kernel says nothing of `VMfailInvalid`.
    #[test]
    fn probes_see_what_the_log_does_not_say() {
        let records = [exit(33, 0x8000_0203_0000_0000, 0), exit(34, 5, 0), exit(INSTALL, 0, flags::VMFAIL_INVALID)];
        let words = explain(&outcome(INVALID, None), &[], &records, &Module::Lost);
        assert!(words.cause.contains("INSTALL answered VMfailInvalid"), "{words:?}");
    }
}
