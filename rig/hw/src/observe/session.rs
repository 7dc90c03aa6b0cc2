//! Probes in the kernel, and what they report of each update. They and all that belongs to them are taken away by the command's
//! [`Restore`], on which each is put before it is made.

use super::clock::{Clock, Scale, monotonic_ns};
use super::peek::{Found, find_points};
use super::probes::{definitions, show_state};
use super::records::Converter;
use super::symbols::Symbols;
use super::trace;
use crate::host::Host;
use crate::restore::{Restore, Undo};
use crate::tracefs::{FOLDERS, Tracefs};
use crate::trouble::Trouble;
use nix::mount::{MsFlags, mount};
use rig_wire::event::Record;
use std::fmt::Display;
use std::io;

/// Buffer of each CPU, KiB. One update takes some kilobytes of it, a load of SEAMCALLs more.
const BUFFER_KIB: u32 = 1024;
/// Whether the kernel may turn breakpoints of probes into jumps (Documentation/trace/kprobes.rst). Meanwhile it may not: a
/// jump stands in for several instructions, which then run elsewhere, and who watches the function from outside takes it for
/// leaving it.
const OPTIMIZATION: &str = "/proc/sys/debug/kprobes-optimization";
/// What is read at the beginning and at the end of a trace.
const MARKERS: [&str; 2] = ["seamrig begin", "seamrig end"];

/// Probes that are in place.
#[derive(Debug)]
pub(crate) struct Observer {
    tracefs: Tracefs,
    clock: Clock,
    cpus: usize,
    shows_state: bool,
    /// `CLOCK_MONOTONIC` at the first marker.
    begun_ns: u64,
    /// Hits of probes that the kernel had missed by then.
    missed: u64,
    /// What is worth knowing of how it is observed, line by line.
    pub(crate) notes: Vec<String>,
}

/// What was observed of one update.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Events in their order.
    pub(crate) records: Vec<Record>,
    /// Why it is not all that happened, if it is not.
    pub(crate) lost: Option<String>,
}

impl Observer {
    /// Puts the probes in place. `cpus`: how many the machine has, with the highest number counted.
    pub(crate) fn start(host: &Host, cpus: usize, restore: &mut Restore) -> Result<Self, Trouble> {
        let symbols = Symbols::read(host)?;
        let tracefs = tracefs(host, restore)?;
        let clock = Clock::of(host);
        // A command that was killed and had no journal could have left some.
        tracefs.remove_probes().and_then(|()| tracefs.remove_instance()).map_err(|e| no_probes("clean up", &e))?;
        if let Some(value) = host.text(OPTIMIZATION).filter(|value| value != "0") {
            restore.before(Undo::Setting { path: OPTIMIZATION.into(), value })?;
            host.write(OPTIMIZATION, "0").map_err(|e| no_probes("keep probes from being optimised", &e))?;
        }
        restore.before(Undo::Instance { tracefs: tracefs.folder() })?;
        tracefs.make_instance(clock.name(), BUFFER_KIB).map_err(|e| no_probes("set up tracing", &e))?;
        restore.before(Undo::Probes { tracefs: tracefs.folder() })?;
        let found = find_points(host, &tracefs, &symbols).map_err(|e| no_probes("read the kernel's code", &e))?;
        let Found { function, points, ctrl, note } = found;
        tracefs.define(&definitions(&function, &points, ctrl, cpus)).map_err(|e| no_probes("place probes", &e))?;
        tracefs.switch_events(true).map_err(|e| no_probes("switch probes on", &e))?;
        let timeless = "the kernel keeps time by another clock than the TSC: events have an order, no time";
        let timeless = (clock == Clock::Counter).then(|| timeless.to_owned());
        let notes = note.into_iter().chain(timeless).collect();
        Ok(Self { tracefs, clock, cpus, shows_state: show_state(&points), begun_ns: 0, missed: 0, notes })
    }

    /// Whether acknowledgements and changes of the state are observed, not only SEAMCALLs.
    pub(crate) fn shows_state(&self) -> bool {
        self.shows_state
    }

    /// From now on events are recorded.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.tracefs.write("trace", "")?;
        self.missed = self.tracefs.missed()?;
        self.tracefs.write("tracing_on", "1")?;
        self.begun_ns = monotonic_ns();
        self.tracefs.write("trace_marker", MARKERS[0])
    }

    /// Events since [`Observer::begin`]. Where the trace fails, nothing of it counts.
    pub(crate) fn end(&mut self) -> Observed {
        self.read().unwrap_or_else(|error| Observed {
            records: Vec::new(),
            lost: Some(format!("the trace cannot be read: {error}")),
        })
    }

    fn read(&self) -> io::Result<Observed> {
        let ended_ns = monotonic_ns();
        self.tracefs.write("trace_marker", MARKERS[1])?;
        self.tracefs.write("tracing_on", "0")?;
        let text = self.tracefs.trace()?;
        let trace = trace::parse(&text);
        let tick = |marker: &str| trace.markers.iter().find(|(_, text)| *text == marker).map(|(tick, _)| *tick);
        let scale = match (self.clock, tick(MARKERS[0]), tick(MARKERS[1])) {
            (Clock::Tsc, Some(from), Some(to)) => Scale::new((from, self.begun_ns), (to, ended_ns)),
            _ => None,
        };
        let mut converter = Converter::new(self.cpus);
        let ns = |ticks| scale.map_or(0, |scale| scale.ns(ticks));
        trace.lines.iter().for_each(|line| converter.take(line, ns(line.time)));
        let (records, unreadable) = converter.finish();
        let missed = self.tracefs.missed()?.saturating_sub(self.missed);
        let lost = loss(&trace, self.tracefs.overrun(self.cpus)?, missed, unreadable);
        Ok(Observed { records, lost })
    }
}

/// Why what was recorded is not all.
fn loss(trace: &trace::Trace<'_>, overrun: u64, missed: u64, unreadable: u64) -> Option<String> {
    if trace.lost + overrun > 0 {
        return Some(format!("the kernel's trace buffers lost {} events", trace.lost.max(overrun)));
    }
    if missed > 0 {
        return Some(format!("{missed} hits of probes were missed by the kernel (kprobe_profile)"));
    }
    if let Some(line) = trace.garbage {
        return Some(format!("a line of the trace cannot be read: {line:?}"));
    }
    (unreadable > 0).then(|| format!("{unreadable} events could not be understood"))
}

/// Where tracefs is; mounts it where it is not mounted.
fn tracefs(host: &Host, restore: &mut Restore) -> Result<Tracefs, Trouble> {
    let help =
        "mount -t tracefs tracefs /sys/kernel/tracing, in a kernel with CONFIG_KPROBE_EVENTS; or go without: --blind";
    let none =
        |why: &str| Trouble::host(format!("the kernel offers no probes (no kprobe_events in tracefs){why}"), help);
    if let Some(tracefs) = Tracefs::find(host) {
        return Ok(tracefs);
    }
    if host.is_real() {
        restore.before(Undo::Unmount { path: FOLDERS[0].into() })?;
        let mounted = mount(Some("tracefs"), FOLDERS[0], Some("tracefs"), MsFlags::empty(), None::<&str>);
        mounted.map_err(|errno| none(&format!(", and tracefs cannot be mounted: {errno}")))?;
    }
    Tracefs::find(host).ok_or_else(|| none(""))
}

fn no_probes(doing: &str, error: &dyn Display) -> Trouble {
    let help = "be root, on a kernel without lockdown=confidentiality; or go without: --blind";
    Trouble::host(format!("cannot {doing}: {error}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::journal::Journal;
    use crate::lock::Lock;
    use crate::restore::pending;

    const TRACING: &str = "/sys/kernel/tracing";

    fn restore(fake: &Fake) -> Restore {
        Restore::new(&fake.host(), Journal::open(&fake.host(), Lock::take(&fake.host()).unwrap()).unwrap())
    }

    #[test]
    fn lost_events_are_reported() {
        let trace = |text| trace::parse(text);
        assert_eq!(loss(&trace(""), 0, 0, 0), None);
        for (text, overrun, missed, unreadable, words) in [
            ("CPU:1 [LOST 7 EVENTS]", 0, 0, 0, "lost 7 events"),
            ("", 3, 0, 0, "lost 3 events"),
            ("", 0, 2, 0, "2 hits"),
            ("half a line", 0, 0, 0, "half a line"),
            ("", 0, 0, 4, "4 events"),
        ] {
            let said = loss(&trace(text), overrun, missed, unreadable).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn cannot_observe_without_probes() {
        let fake = Fake::new();
        fake.remove(TRACING);
        assert!(Observer::start(&fake.host(), 4, &mut restore(&fake)).unwrap_err().cause.contains("kallsyms"));
        fake.put_symbols();
        let none = Observer::start(&fake.host(), 4, &mut restore(&fake)).unwrap_err();
        assert!(none.help.contains("CONFIG_KPROBE_EVENTS"), "{none}");
    }

    /// Wherever it fails, all that was done until then is undone.
    #[test]
    fn what_fails_leaves_nothing_behind() {
        let instance = format!("{TRACING}/instances/seamrig");
        for (file, text) in [
            (OPTIMIZATION.to_owned(), "0"),
            (instance.clone(), "mkdir"),
            (format!("{instance}/buffer_size_kb"), "1024"),
            (format!("{TRACING}/kprobe_events"), "p:seamrig/enter1 multi_cpu_stop a=%di:x64 b=%si:x64"),
            (format!("{instance}/events/seamrig/enable"), "1"),
        ] {
            let fake = Fake::new();
            fake.put_symbols();
            fake.put(OPTIMIZATION, "1\n");
            fake.fail(&file, text, 0, 1);
            let mut changes = restore(&fake);
            let failed = Observer::start(&fake.host(), 4, &mut changes).unwrap_err();
            assert!(failed.cause.contains("cannot"), "{file}: {failed}");
            assert_eq!(changes.undo_all(), Vec::<String>::new(), "{file}");
            assert_eq!(fake.host().read(OPTIMIZATION).unwrap(), "1", "{file}");
            assert_eq!(fake.host().read(&format!("{TRACING}/kprobe_events")).unwrap(), "", "{file}");
            assert!(!fake.host().has(&instance), "{file}");
        }
    }

    /// The way back of each change is on the disk while the probes are in place.
    #[test]
    fn probes_can_be_taken_away_by_another_process() {
        let fake = Fake::new();
        fake.put_symbols();
        fake.put(OPTIMIZATION, "1\n");
        let mut changes = restore(&fake);
        let observer = Observer::start(&fake.host(), 4, &mut changes).unwrap();
        assert!(!observer.shows_state() && observer.notes[0].contains("CONFIG_KALLSYMS_ALL"));
        assert!(fake.host().read(&format!("{TRACING}/kprobe_events")).unwrap().contains(":seamrig/call"));
        let undo: Vec<String> = pending(&fake.host()).iter().map(|change| change.undo.to_string()).collect();
        assert_eq!(undo.len(), 3, "{undo:?}");
        for change in pending(&fake.host()).iter().rev() {
            change.undo.apply(&fake.host()).unwrap();
        }
        assert_eq!(fake.host().read(OPTIMIZATION).unwrap(), "1");
        assert_eq!(fake.host().read(&format!("{TRACING}/kprobe_events")).unwrap(), "");
        assert!(!fake.host().has(&format!("{TRACING}/instances/seamrig")));
    }

    /// A trace that cannot be read is reported; it never counts as one without events.
    #[test]
    fn a_trace_that_fails_is_lost() {
        let fake = Fake::new();
        fake.put_symbols();
        let mut changes = restore(&fake);
        let mut observer = Observer::start(&fake.host(), 4, &mut changes).unwrap();
        observer.begin().unwrap();
        assert_eq!(observer.end().lost, None);
        for file in ["trace", "per_cpu/cpu0/stats"] {
            observer.begin().unwrap();
            fake.remove(&format!("{TRACING}/instances/seamrig/{file}"));
            assert!(observer.end().lost.unwrap().contains("cannot be read"), "{file}");
        }
    }
}
