//! No BUG, WARN, lockup, RCU stall, lockdep or KCSAN report on the console.

use super::rule::{Rule, held_if};
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::tracker::Tracker;
use crate::{Invariant, Setup};

#[derive(Debug, Default)]
pub(crate) struct QuietKernel {
    lines: u64,
}

/// What begins a message, after its time stamp, when the kernel reports a fault of its own. Checked against Linux 7.3.
const BEGINNINGS: [&str; 8] =
    ["BUG:", "WARNING:", "Kernel panic", "Oops", "watchdog: BUG:", "INFO: task", "UBSAN:", "general protection fault"];

/// What such a message may contain anywhere.
const PHRASES: [&str; 20] = [
    "kernel BUG at",
    "soft lockup",
    "hard LOCKUP",
    "self-detected stall",
    "detected stalls",
    "detected expedited stalls",
    "rcu_sched kthread starved",
    "rcu_preempt kthread starved",
    "possible circular locking dependency",
    "possible recursive locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "trying to register non-static key",
    "BUG: KCSAN:",
    "BUG: KASAN:",
    "scheduling while atomic",
    "unable to handle page fault",
    "unchecked MSR access error",
    "nobody cared",
    "PANIC: double fault",
];

impl Rule for QuietKernel {
    fn invariant(&self) -> Invariant {
        Invariant::QuietKernel
    }

    fn console_line(&mut self, past: &Tracker, line: &str) -> Option<Breach> {
        self.lines += 1;
        is_unexpected(line, &past.setup).then(|| {
            let last = past.last.iter().flatten().max_by_key(|r| r.seq);
            past.breach(Invariant::QuietKernel, &[], None)
                .expected("the kernel reports no fault of its own")
                .seen(format!("the console says: {}", line.trim()))
                .events(past.cite(last))
        })
    }

    fn finish(&mut self, _past: &Tracker, _end: &RunEnd) -> Finding {
        held_if(self.lines > 0, "nothing was seen of the console")
    }
}

/// Whether the kernel reports a fault of its own in this line which nobody expects.
pub(crate) fn is_unexpected(line: &str, setup: &Setup) -> bool {
    is_report(line) && !setup.expected_console.iter().any(|expected| line.contains(expected.as_str()))
}

/// Whether the kernel reports a fault of its own in this line.
pub(crate) fn is_report(line: &str) -> bool {
    let message = without_stamps(line);
    BEGINNINGS.iter().any(|b| message.starts_with(b)) || PHRASES.iter().any(|p| message.contains(p))
}

/// The message after `<6>`, `[    1.234567]` and `[    T42]`.
fn without_stamps(line: &str) -> &str {
    let mut rest = line.trim_start();
    loop {
        let close = match rest.as_bytes().first() {
            Some(b'<') => '>',
            Some(b'[') => ']',
            _ => return rest,
        };
        let Some((_, after)) = rest.split_once(close) else { return rest };
        rest = after.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_recognised() {
        let reports = [
            "[    3.1] WARNING: CPU: 0 PID: 1 at arch/x86/virt/vmx/tdx/tdx.c:1323 tdx_module_run_update+0x9/0xb0",
            "[    3.1][    T1] WARNING: possible circular locking dependency detected",
            "<4>WARNING: CPU: 0 PID: 1 at kernel/smp.c:1 smp_call+0x1/0x2",
            "<4>[   28.0] watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [migration/2:24]",
            "[   21.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    1.0] kernel BUG at kernel/cpu.c:100!",
            "[    1.0] Kernel panic - not syncing: Fatal exception",
            "[    1.0] BUG: KCSAN: data-race in do_seamldr_install_module / do_seamldr_install_module",
            "[    1.0] INFO: task agent:1 blocked for more than 120 seconds.",
            "[    1.0] unchecked MSR access error: RDMSR from 0x1b1 at rIP: 0xffffffff81000000 (native_read_msr+0x4/0x40)",
            "[    1.0] irq 9: nobody cared (try booting with the \"irqpoll\" option)",
            "[    1.0] PANIC: double fault, error_code: 0x0",
        ];
        for line in reports {
            assert!(is_report(line), "{line}");
        }
    }

    #[test]
    fn a_report_that_is_expected_is_none_and_its_words_alone_count() {
        let mut setup = Setup::new(1, crate::SubjectNames::in_tree());
        let line = "[    3.1] WARNING: CPU: 0 PID: 1 at tdx.c:1323 tdx_module_run_update+0x9/0xb0";
        assert!(is_unexpected(line, &setup));
        setup.expected_console = vec!["another".into(), "tdx_module_run_update".into()];
        assert!(!is_unexpected(line, &setup));
        assert!(is_unexpected("BUG: something", &setup) && !is_unexpected("virt/tdx: module initialized", &setup));
    }

    #[test]
    fn ordinary_lines_are_no_reports() {
        let lines = [
            "",
            "[    0.3] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
            "[    0.0] debug: ignoring loglevel setting.",
            "[    1.2] virt/tdx: SEAMCALL (0x8000000000000001) failed: 0x8000000000020001",
            "[    0.1] rcu: Hierarchical RCU implementation.",
            "[unterminated",
        ];
        for line in lines {
            assert!(!is_report(line), "{line}");
        }
    }
}
