//! Why an outer machine went away, by all that is known of its end.

use crate::machine::{QemuExit, ShutdownReason};
use crate::trouble::Trouble;

/// SIGKILL. Only the rig sends it to QEMU, at the end, or a host without memory.
const KILL: i32 = 9;

/// What is known of the end of an outer machine.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// How QEMU ended; none: it runs.
    pub(super) status: Option<QemuExit>,
    /// What QEMU said of the guest's end.
    pub(super) reason: Option<ShutdownReason>,
    /// The line in which its kernel says why it panics.
    pub(super) panic: Option<String>,
    /// QEMU's last words.
    pub(super) words: Option<String>,
    /// Processes that the host killed for want of memory since the machine was started.
    pub(super) oom_kills: u64,
}

impl Loss {
    /// The error to report; `doing` is what was under way.
    pub(super) fn trouble(&self, doing: &str) -> Trouble {
        let (what, help) = self.what();
        Trouble::environment(format!("the outer machine is gone, while {doing}: {what}"), help)
    }

    fn what(&self) -> (String, &'static str) {
        const LOGS: &str = "read console.log, kmsg.log and qemu.log in the run folder";
        let Some(status) = self.status else {
            return ("its agent hung up, and QEMU runs on".into(), LOGS);
        };
        if status.signal() == Some(KILL) && self.oom_kills > 0 {
            return (format!("the host had no memory left and killed QEMU ({status})"), "free 4 GiB of memory");
        }
        match (&self.reason, &self.panic) {
            (_, Some(line)) => (format!("its kernel ended with \"{line}\""), LOGS),
            (Some(ShutdownReason::Reset), None) => ("it reset itself without a word".into(), LOGS),
            (Some(ShutdownReason::PowerOff), None) => ("it powered itself off".into(), LOGS),
            (Some(ShutdownReason::Other(why)), None) => (format!("QEMU shut it down ({why})"), LOGS),
            (None, None) => {
                let words = self.words.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
                (format!("QEMU died ({status}){words}"), LOGS)
            }
        }
    }
}

/// Processes that the kernel killed for want of memory since it was started (`oom_kill` of `/proc/vmstat`); none where it does not
/// say.
pub(super) fn oom_kills() -> Option<u64> {
    oom_kills_of(&std::fs::read_to_string("/proc/vmstat").ok()?)
}

fn oom_kills_of(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn cause(loss: &Loss) -> String {
        loss.trouble("running the doctor").cause
    }

    #[test]
    fn the_end_of_qemu_is_reported_with_its_last_words() {
        let died = |status, oom_kills| Loss {
            status: Some(ExitStatus::from_raw(status).into()),
            words: Some("assertion failed".into()),
            oom_kills,
            ..Loss::default()
        };
        assert!(cause(&died(6, 0)).ends_with("running the doctor: QEMU died (signal: 6 (SIGABRT)): assertion failed"));
        assert!(cause(&died(9, 0)).contains("QEMU died (signal: 9 (SIGKILL))"));
        assert!(cause(&died(9, 1)).contains("no memory left"));
        assert_eq!(died(9, 1).trouble("x").help, "free 4 GiB of memory");
    }

    #[test]
    fn the_end_of_the_guest_is_reported_with_its_kernels_words() {
        let reset = |panic: Option<&str>| Loss {
            status: Some(ExitStatus::from_raw(0).into()),
            reason: Some(ShutdownReason::Reset),
            panic: panic.map(Into::into),
            ..Loss::default()
        };
        assert!(cause(&reset(Some("Kernel panic - not syncing: x"))).contains("\"Kernel panic - not syncing: x\""));
        assert!(cause(&reset(None)).contains("reset itself without a word"));
    }

    #[test]
    fn an_agent_may_hang_up_in_a_machine_that_runs() {
        assert!(cause(&Loss::default()).contains("QEMU runs on"));
    }

    #[test]
    fn the_kernel_counts_its_kills() {
        assert_eq!(oom_kills_of("nr_free_pages 12\noom_kill 3\n"), Some(3));
        assert_eq!(oom_kills_of(""), None);
    }
}
