//! Reading what tracefs prints.
//!
//! A line is `COMM-PID [CPU] FLAGS TIME: EVENT: (WHERE) NAME=VALUE...` (Documentation/trace/ftrace.rst, kprobetrace.rst). A
//! task's name may hold anything, so a line is read from its end: values are hexadecimal, and the last `: EVENT: (` is the
//! event's own.

use std::collections::HashMap;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The thread that was running.
    pub(crate) pid: u32,
    /// The CPU on which it happened.
    pub(crate) cpu: u16,
    /// The clock, in its own unit.
    pub(crate) time: u64,
    /// In hard-interrupt context.
    pub(crate) hardirq: bool,
    /// The probe's name.
    pub(crate) event: &'a str,
    /// Its values, as text.
    values: HashMap<&'a str, &'a str>,
}

impl Line<'_> {
    /// A value; none if the probe has no such one or it is no number (memory that cannot be read prints `(fault)`).
    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        number(self.values.get(name)?)
    }

    /// An array: `{0x1,0x2}`.
    pub(crate) fn array(&self, name: &str) -> Option<Vec<u64>> {
        let inside = self.values.get(name)?.strip_prefix('{')?.strip_suffix('}')?;
        inside.split(',').map(number).collect()
    }
}

/// What a trace holds.
#[derive(Debug, Default)]
pub(crate) struct Trace<'a> {
    /// Events in the order of their time.
    pub(crate) lines: Vec<Line<'a>>,
    /// Times of what was written to the marker file, with the text.
    pub(crate) markers: Vec<(u64, &'a str)>,
    /// Events that the kernel says it lost.
    pub(crate) lost: u64,
    /// The first line that could not be read.
    pub(crate) garbage: Option<&'a str>,
}

/// Reads a `trace` file.
pub(crate) fn parse(text: &str) -> Trace<'_> {
    let mut trace = Trace::default();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(lost) = lost(line) {
            trace.lost += lost;
        } else if let Some(marker) = marker(line) {
            trace.markers.push(marker);
        } else if let Some(event) = event(line) {
            trace.lines.push(event);
        } else {
            trace.garbage.get_or_insert(line);
        }
    }
    // The kernel merges its buffers by time; the events of one CPU keep their order.
    trace.lines.sort_by_key(|line| line.time);
    trace
}

fn event(line: &str) -> Option<Line<'_>> {
    let place = line.rfind(": (")?;
    let (head, event) = line[..place].rsplit_once(": ")?;
    let (_, values) = line[place + 3..].split_once(')')?;
    let (pid, cpu, flags, time) = context(head)?;
    let values = values.split_ascii_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    // `irqs-off need-resched hardirq/softirq preempt-depth ...`: h, H (both) and Z (NMI in it) are hard interrupts. A probe's own
    // breakpoint shows as an NMI.
    let hardirq = matches!(flags.chars().nth(2)?, 'h' | 'H' | 'Z');
    Some(Line { pid, cpu, time, hardirq, event, values })
}

/// `NAME-PID [003] d.h2. 12345`.
fn context(head: &str) -> Option<(u32, u16, &str, u64)> {
    let (rest, time) = head.rsplit_once(' ')?;
    let (rest, flags) = rest.trim_end().rsplit_once(' ')?;
    let (task, cpu) = rest.trim_end().rsplit_once('[')?;
    let (_, pid) = task.trim_end().rsplit_once('-')?;
    Some((pid.parse().ok()?, cpu.strip_suffix(']')?.trim().parse().ok()?, flags, time.parse().ok()?))
}

/// `CPU:3 [LOST 12 EVENTS]`; the number is missing where the kernel does not know it.
fn lost(line: &str) -> Option<u64> {
    let rest = line.trim_start().strip_prefix("CPU:")?.split_once("[LOST ")?.1;
    rest.strip_suffix("EVENTS]").map(|number| number.trim().parse().unwrap_or(1))
}

fn marker(line: &str) -> Option<(u64, &str)> {
    let (head, text) = line.split_once(": tracing_mark_write: ")?;
    Some((context(head)?.3, text))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
     migration/0-17      [000] d.Z2.       900: call: (__seamcall+0x0/0x50) fn=0x8000000000000001 fl=0x46
CPU:1 [LOST 12 EVENTS]
  evil: x: (y) z-99      [001] d.z1.       800: ack0: (do_seamldr_install_module+0x6f/0x120) ack=0x3 failed=0x0
           <...>-1       [000] .....       700: tracing_mark_write: begin
        rig-hw-1         [002] ...1.      1000: end: (seamldr_call.part.0+0x4b/0xd0 <- __seamcall) ret=0x0 t={0x1,0x2}
";

    #[test]
    fn lines_are_read_whoever_caused_them() {
        let trace = parse(TEXT);
        assert_eq!((trace.lost, trace.garbage), (12, None));
        assert_eq!(trace.markers, [(700, "begin")]);
        let events: Vec<_> = trace.lines.iter().map(|l| (l.cpu, l.time, l.event, l.hardirq)).collect();
        assert_eq!(events, [(1, 800, "ack0", false), (0, 900, "call", true), (2, 1000, "end", false)]);
        assert_eq!(trace.lines[0].value("ack"), Some(3));
        assert_eq!(trace.lines[1].value("fn"), Some(0x8000_0000_0000_0001));
        assert_eq!(trace.lines[2].array("t"), Some(vec![1, 2]));
        assert_eq!(trace.lines[2].value("none"), None);
    }

    #[test]
    fn unreadable_lines_are_counted() {
        for garbage in ["half a li", "x-1 [000] d.... 1: call: (f+0x0/0x1", "x-1 [zzz] d.... 1: call: (f) a=1"] {
            let trace = parse(garbage);
            assert_eq!(trace.garbage, Some(garbage));
            assert!(trace.lines.is_empty());
        }
    }
}
