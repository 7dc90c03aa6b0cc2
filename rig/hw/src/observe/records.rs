//! From the output of probes to the event records that the emulator makes, so that the same judge can judge.

use super::trace::Line;
use rig_wire::event::{Kind, Record, flags};
use std::collections::HashMap;

/// SEAMCALL's own failures, as `__seamcall` returns them (`arch/x86/include/asm/tdx.h`, Linux 7.3).
const VMFAIL_INVALID: u64 = 0x8000_ff00_ffff_0000;
const GP: u64 = 0x8000_ff00_0000_000d;
const UD: u64 = 0x8000_ff00_0000_0006;
/// The interrupt flag in RFLAGS.
const RFLAGS_IF: u64 = 1 << 9;

/// Turns events into records.
#[derive(Debug)]
pub(crate) struct Converter {
    /// The calls in which each thread is, with the CPU on which each began, innermost last. A thread that may be preempted can
    /// move between the probe and the instruction, and another one can call on the CPU that it left.
    calls: HashMap<Thread, Vec<Call>>,
    /// CPUs of the host.
    cpus: u16,
    records: Vec<Record>,
    /// Events of which an argument could not be read, or that end what did not begin.
    unreadable: u64,
}

/// A thread; the idle ones of all CPUs have the same number.
type Thread = (u32, Option<u16>);

/// A call under way.
#[derive(Clone, Copy, Debug)]
struct Call {
    leaf: u64,
    /// Where it began.
    lp: u16,
    /// Its entry among the records.
    entry: usize,
}

fn thread(line: &Line<'_>) -> Thread {
    (line.pid, (line.pid == 0).then_some(line.cpu))
}

impl Converter {
    /// For so many CPUs.
    pub(crate) fn new(cpus: usize) -> Self {
        let cpus = u16::try_from(cpus).unwrap_or(u16::MAX);
        Self { calls: HashMap::new(), cpus, records: Vec::new(), unreadable: 0 }
    }

    /// Takes one event; `ns` is its time.
    pub(crate) fn take(&mut self, line: &Line<'_>, ns: u64) {
        let records = self.meaning(line);
        self.unreadable += u64::from(records.is_none());
        let stamp = |record: Record| Record { guest_ns: ns, ..record };
        self.records.extend(records.unwrap_or_default().into_iter().map(stamp));
    }

    /// All records, and how many events could not be understood. A call that began after the update and had not ended when
    /// the recording did is left out, as is one that had begun before it.
    pub(crate) fn finish(mut self) -> (Vec<Record>, u64) {
        let mut open: Vec<usize> = self.calls.values().flatten().map(|call| call.entry).collect();
        let left = |r: &Record| r.kind == Kind::FunctionExit as u16 && r.a == 0;
        let last_left = self.records.iter().rposition(left);
        open.retain(|entry| Some(*entry) > last_left);
        open.sort_unstable();
        for entry in open.into_iter().rev() {
            self.records.remove(entry);
        }
        (self.records, self.unreadable)
    }

    fn meaning(&mut self, line: &Line<'_>) -> Option<Vec<Record>> {
        if line.cpu >= self.cpus {
            return None;
        }
        match line.event {
            "end" | "endr" if !self.calls.contains_key(&thread(line)) => {
                // It began before the recording; a second such one of this thread would not.
                self.calls.insert(thread(line), Vec::new());
                Some(Vec::new())
            }
            "end" | "endr" => Some(vec![self.end(line)?]),
            _ => {
                let here = |record: Record| Record { lp: line.cpu, ..record };
                Some(self.on_its_cpu(line)?.into_iter().map(here).collect())
            }
        }
    }

    fn on_its_cpu(&mut self, line: &Line<'_>) -> Option<Vec<Record>> {
        let number = |prefix: &str| line.event.strip_prefix(prefix)?.parse::<u64>().ok();
        if matches!(line.event, "call" | "callr") {
            return Some(vec![self.call(line)?]);
        }
        if let Some(function) = number("enter") {
            let (c, d) = (line.value("a")?, line.value("b")?);
            return Some(vec![Record { kind: Kind::FunctionEnter as u16, a: function, c, d, ..Record::default() }]);
        }
        if let Some(function) = number("leave") {
            let b = line.value("ret")?;
            return Some(vec![Record { kind: Kind::FunctionExit as u16, a: function, b, ..Record::default() }]);
        }
        if number("ack").is_some() {
            return Some(vec![word(2, line.value("failed")?, true), word(1, line.value("ack")?, true)]);
        }
        let stores = number("state").is_some();
        (stores || number("saw").is_some()).then(|| Some(vec![word(0, line.value("state")?, stores)]))?
    }

    fn call(&mut self, line: &Line<'_>) -> Option<Record> {
        let leaf = line.value("fn")?;
        let on = line.value("fl")? & RFLAGS_IF != 0;
        let context = if line.hardirq { flags::HARDIRQ } else { 0 };
        let record = Record {
            kind: Kind::SeamcallEnter as u16,
            flags: flags::CONTEXT_KNOWN | context | if on { flags::IF } else { 0 },
            a: leaf,
            b: line.value("rcx")?,
            c: line.value("rdx")?,
            d: line.value("r8")?,
            ..Record::default()
        };
        let call = Call { leaf, lp: line.cpu, entry: self.records.len() };
        self.calls.entry(thread(line)).or_default().push(call);
        Some(record)
    }

    /// The registers that a leaf returns are not observed. A call ends on the CPU on which it began, wherever its thread is now.
    fn end(&mut self, line: &Line<'_>) -> Option<Record> {
        let Call { leaf, lp, .. } = self.calls.get_mut(&thread(line))?.pop()?;
        let returned = line.value("ret")?;
        let flags = match returned {
            VMFAIL_INVALID => flags::VMFAIL_INVALID,
            GP => flags::GP,
            UD => flags::UD,
            _ => 0,
        };
        Some(Record { kind: Kind::SeamcallExit as u16, lp, flags, a: leaf, b: returned, ..Record::default() })
    }
}

fn word(index: u64, value: u64, stores: bool) -> Record {
    let flags = if stores { flags::STORE } else { 0 };
    Record { kind: Kind::Watch as u16, flags, a: index, b: value, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::super::trace::parse;
    use super::*;

    fn convert(text: &str) -> (Vec<Record>, u64) {
        let trace = parse(text);
        let mut converter = Converter::new(2);
        trace.lines.iter().for_each(|line| converter.take(line, line.time));
        converter.finish()
    }

    #[test]
    fn a_call_ends_with_the_leaf_that_it_began_with() {
        let text = "\
x-1 [000] d.... 1: call: (__seamcall+0x0/0x50) fn=0x22 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
x-1 [000] d.h.. 2: callr: (__seamcall_ret+0x0/0x50) fn=0x8000000000000000 rcx=0x0 rdx=0x0 r8=0x0 fl=0x46
x-1 [000] d.h.. 3: endr: (a+0x1/0x2 <- __seamcall_ret) ret=0x8000ff00ffff0000
x-1 [000] d.... 4: end: (a+0x1/0x2 <- __seamcall) ret=0x5
";
        let (records, unreadable) = convert(text);
        assert_eq!(unreadable, 0);
        let fields: Vec<_> = records.iter().map(|r| (r.kind, r.flags, r.a, r.b, r.guest_ns)).collect();
        let (known, irq) = (flags::CONTEXT_KNOWN, flags::CONTEXT_KNOWN | flags::HARDIRQ);
        assert_eq!(
            fields,
            [
                (1, known | flags::IF, 0x22, 1, 1),
                (1, irq, 1 << 63, 0, 2),
                (2, flags::VMFAIL_INVALID, 1 << 63, VMFAIL_INVALID, 3),
                (2, 0, 0x22, 5, 4),
            ]
        );
    }

    #[test]
    fn a_thread_may_move_within_a_call_and_leave_its_cpu_to_another_one() {
        let text = "\
reader-7 [000] ..... 1: call: (__seamcall+0x0/0x50) fn=0x22 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
x-9 [000] ..... 2: call: (__seamcall+0x0/0x50) fn=0x8 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
reader-7 [001] ..... 3: end: (a+0x1/0x2 <- __seamcall) ret=0x0
x-9 [000] ..... 4: end: (a+0x1/0x2 <- __seamcall) ret=0x5
";
        let (records, unreadable) = convert(text);
        let fields: Vec<_> = records.iter().map(|r| (r.kind, r.lp, r.a, r.b)).collect();
        assert_eq!((fields, unreadable), (vec![(1, 0, 0x22, 1), (1, 0, 8, 1), (2, 0, 0x22, 0), (2, 0, 8, 5)], 0));
    }

    /// Loads call at any time, also when the recording begins and ends. What was recorded of such a call must not look like
    /// one that is under way for ever.
    #[test]
    fn a_call_with_one_end_only_is_left_out() {
        let text = "\
reader-7 [000] ..... 1: end: (a+0x1/0x2 <- __seamcall) ret=0x0
reader-7 [000] ..... 2: call: (__seamcall+0x0/0x50) fn=0x22 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
reader-7 [000] ..... 3: end: (a+0x1/0x2 <- __seamcall) ret=0x0
<idle>-0 [000] ..h.. 4: call: (__seamcall+0x0/0x50) fn=0x8 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
<idle>-0 [001] ..h.. 5: call: (__seamcall+0x0/0x50) fn=0x9 rcx=0x1 rdx=0x2 r8=0x3 fl=0x202
<idle>-0 [000] ..h.. 6: end: (a+0x1/0x2 <- __seamcall) ret=0x0
";
        let (records, unreadable) = convert(text);
        let fields: Vec<_> = records.iter().map(|r| (r.kind, r.lp, r.a)).collect();
        assert_eq!((fields, unreadable), (vec![(1, 0, 0x22), (2, 0, 0x22), (1, 0, 8), (2, 0, 8)], 0));
    }

    #[test]
    fn the_state_machine_is_seen() {
        let text = "\
x-1 [001] d.... 1: enter0: (do_seamldr_install_module+0x0/0x1) a=0x10 b=0x20
x-1 [001] d.... 2: saw2: (do_seamldr_install_module+0xa2/0x1) state=0x2
x-1 [001] d.... 3: ack0: (do_seamldr_install_module+0x6f/0x1) ack=0x4 failed=0x1
x-1 [001] d.... 4: state1: (do_seamldr_install_module+0x110/0x1) state=0x3
x-1 [001] d.... 5: leave0: (multi_cpu_stop+0x1/0x2 <- do_seamldr_install_module) ret=0xfffffffb
";
        let (records, unreadable) = convert(text);
        assert_eq!(unreadable, 0);
        let fields: Vec<_> = records.iter().map(|r| (r.kind, r.flags, r.a, r.b)).collect();
        let store = flags::STORE;
        assert_eq!(
            fields,
            [(4, 0, 0, 0), (3, 0, 0, 2), (3, store, 2, 1), (3, store, 1, 4), (3, store, 0, 3), (5, 0, 0, 0xffff_fffb),]
        );
        assert!(records.iter().all(|r| r.lp == 1));
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let fault = "x-1 [001] d.... 1: ack0: (f+0x6f/0x1) ack=(fault) failed=0x0\n";
        let endless = "x-1 [000] d.... 1: end: (a+0x1/0x2 <- __seamcall) ret=0x0\n".repeat(2);
        let endless = endless.as_str();
        let elsewhere = "x-1 [009] d.... 1: call: (f) fn=0x1 rcx=0x0 rdx=0x0 r8=0x0 fl=0x0\n";
        for text in [fault, endless, elsewhere, "x-1 [000] d.... 1: other: (f) a=0x1\n"] {
            assert_eq!(convert(text), (vec![], 1), "{text}");
        }
    }
}
