//! Probes in the kernel, for as long as this value lives.
//!
//! Everything happens in a tracing instance of its own, so that nobody else's tracing is disturbed; at the end, also of a
//! command that failed, instance and probes are taken away. What a killed command left is taken away by the next one.

use super::clock::{Clock, Scale, monotonic_ns};
use super::code::{Point, points};
use super::probes::{GROUP, definitions, name_of, show_state};
use super::records::Converter;
use super::symbols::Symbols;
use super::{TRACE_FOLDERS, trace};
use crate::facts::DEVICE;
use crate::host::Host;
use crate::trouble::Trouble;
use rig_wire::event::Record;
use std::fs;
use std::io;

/// Buffer of each CPU, KiB. One update takes some kilobytes of it, a load of SEAMCALLs more.
const BUFFER_KIB: u32 = 1024;
/// Whether the kernel may turn breakpoints of probes into jumps (Documentation/trace/kprobes.rst). Meanwhile it may not: a
/// jump stands in for several instructions, which then run elsewhere, and who watches the function from outside takes it for
/// leaving it.
const OPTIMIZATION: &str = "/proc/sys/debug/kprobes-optimization";
/// Most bytes of a function that are looked at: four arrays of 64 words, which is what one probe can tell.
const TEXT_MAX: u64 = 4 * 64 * 8;
/// What somebody who watches a trace reads at its two ends.
const MARKERS: [&str; 2] = ["seamrig begin", "seamrig end"];

/// Probes that are in place.
#[derive(Debug)]
pub struct Observer {
    host: Host,
    /// tracefs.
    folder: &'static str,
    clock: Clock,
    cpus: usize,
    points: usize,
    shows_state: bool,
    /// `CLOCK_MONOTONIC` at the first marker.
    begun_ns: u64,
    /// Hits of probes that the kernel had missed by then.
    missed: u64,
    /// [`OPTIMIZATION`] was on, and is to be on again.
    optimized: bool,
    /// What is worth knowing of how it is observed, line by line.
    pub notes: Vec<String>,
}

/// What was seen of one update.
#[derive(Debug, Default)]
pub struct Observed {
    /// Events in their order.
    pub records: Vec<Record>,
    /// Why it is not all that happened, if it is not.
    pub lost: Option<String>,
}

impl Observer {
    /// Puts the probes in place. `cpus`: how many the machine has, with the highest number counted.
    pub fn start(host: &Host, cpus: usize) -> Result<Self, Trouble> {
        let folder = tracefs(host)?;
        let symbols = Symbols::read(host)?;
        let clock = Clock::of(host);
        let mut this = Self {
            host: host.clone(),
            folder,
            clock,
            cpus,
            points: 0,
            shows_state: false,
            begun_ns: 0,
            missed: 0,
            optimized: false,
            notes: Vec::new(),
        };
        this.clear();
        this.optimized = host.text(OPTIMIZATION).is_some_and(|on| on == "1") && host.write(OPTIMIZATION, "0").is_ok();
        this.prepare().map_err(|e| no_probes("set up tracing", &e))?;
        let (function, found, ctrl) = this.find_points(&symbols);
        this.define(&definitions(&function, &found, ctrl, cpus)).map_err(|e| no_probes("place probes", &e))?;
        this.switch_events(true).map_err(|e| no_probes("switch probes on", &e))?;
        this.points = found.len();
        if clock == Clock::Counter {
            this.notes
                .push("the kernel keeps time by another clock than the TSC: events have an order, no time".into());
        }
        Ok(this)
    }

    /// Whether acknowledgements and changes of the state are seen, not only SEAMCALLs.
    pub fn shows_state(&self) -> bool {
        self.shows_state
    }

    /// From now on events are recorded.
    pub fn begin(&mut self) -> io::Result<()> {
        self.write("trace", "")?;
        self.missed = missed(&self.profile());
        self.write("tracing_on", "1")?;
        self.begun_ns = monotonic_ns();
        self.write("trace_marker", MARKERS[0])
    }

    /// Events since [`Observer::begin`].
    pub fn end(&mut self) -> io::Result<Observed> {
        let ended_ns = monotonic_ns();
        self.write("trace_marker", MARKERS[1])?;
        self.write("tracing_on", "0")?;
        let text = fs::read(self.host.path(&self.instance("trace")))?;
        let text = String::from_utf8_lossy(&text);
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
        let missed = missed(&self.profile()).saturating_sub(self.missed);
        Ok(Observed { records, lost: loss(&trace, self.overrun(), missed, unreadable) })
    }

    /// Events that were dropped or overwritten on any CPU.
    fn overrun(&self) -> u64 {
        let stats = |cpu: usize| self.host.text(&self.instance(&format!("per_cpu/cpu{cpu}/stats"))).unwrap_or_default();
        (0..self.cpus).map(|cpu| dropped(&stats(cpu))).sum()
    }

    fn profile(&self) -> String {
        self.host.text(&format!("{}/kprobe_profile", self.folder)).unwrap_or_default()
    }

    /// Looks at the update's code for the places of probes: the function's name, its points, and `update_ctrl`'s address.
    fn find_points(&mut self, symbols: &Symbols) -> (String, Vec<Point>, u64) {
        let nothing = (String::new(), Vec::new(), 0);
        let Some(ctrl) = symbols.update_ctrl else {
            self.notes
                .push("no symbol update_ctrl (CONFIG_KALLSYMS_ALL): steps are seen by their SEAMCALLs only".into());
            return nothing;
        };
        for (name, address, size) in &symbols.functions {
            let size = (*size).min(TEXT_MAX);
            let found = self.peek(*address, size).map(|bytes| points(&bytes, *address, ctrl)).unwrap_or_default();
            if show_state(&found) {
                self.shows_state = true;
                return (name.clone(), found, ctrl);
            }
        }
        self.notes.push("the code that acknowledges was not recognised: steps are seen by their SEAMCALLs only".into());
        nothing
    }

    /// Bytes of the kernel, read by a probe: every kernel that can be observed at all has this, not every one has
    /// `/proc/kcore`.
    fn peek(&self, address: u64, size: u64) -> Option<Vec<u8>> {
        let words = size.div_ceil(8);
        let arrays: Vec<String> = (0..words.div_ceil(64))
            .map(|n| format!("t{n}=@{:#x}:x64[{}]", address + n * 512, (words - n * 64).min(64)))
            .collect();
        self.define(&[format!("p:{GROUP}/peek seamldr_get_info {}", arrays.join(" "))]).ok()?;
        self.switch_events(true).ok()?;
        self.write("trace", "").and_then(|()| self.write("tracing_on", "1")).ok()?;
        // Whatever it answers: on the way the function was called.
        let _ = self.host.read(&format!("{DEVICE}/seamldr_version"));
        self.write("tracing_on", "0").ok()?;
        let text = self.host.read(&self.instance("trace")).ok();
        self.switch_events(false).ok()?;
        self.undefine();
        let text = text?;
        let trace = trace::parse(&text);
        let line = trace.lines.iter().find(|line| line.event == "peek")?;
        let read: Vec<u64> =
            (0..arrays.len()).map(|n| line.array(&format!("t{n}"))).collect::<Option<Vec<_>>>()?.concat();
        let mut bytes: Vec<u8> = read.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(usize::try_from(size).ok()?);
        Some(bytes)
    }

    fn prepare(&self) -> io::Result<()> {
        fs::create_dir(self.host.path(&self.instance("")))?;
        self.write("tracing_on", "0")?;
        self.write("trace_clock", self.clock.name())?;
        // What is full drops what is new, so that the beginning stays whole and the loss is counted.
        self.write("options/overwrite", "0")?;
        self.write("buffer_size_kb", &BUFFER_KIB.to_string())
    }

    fn define(&self, all: &[String]) -> io::Result<()> {
        let list = format!("{}/kprobe_events", self.folder);
        for definition in all {
            let failed = |e: io::Error| io::Error::new(e.kind(), format!("{definition}: {e}"));
            self.host.append(&list, &format!("{definition}\n")).map_err(failed)?;
        }
        Ok(())
    }

    fn switch_events(&self, on: bool) -> io::Result<()> {
        self.write(&format!("events/{GROUP}/enable"), if on { "1" } else { "0" })
    }

    /// Takes away whatever is there, of this command or of one that was killed.
    fn clear(&self) {
        let instance = self.host.path(&self.instance(""));
        if instance.exists() {
            let _ = self.write("tracing_on", "0");
            let _ = self.switch_events(false);
            let _ = fs::remove_dir(instance);
        }
        self.undefine();
    }

    /// Takes away all probes of the group.
    fn undefine(&self) {
        let list = format!("{}/kprobe_events", self.folder);
        let defined = self.host.text(&list).unwrap_or_default();
        for line in defined.lines().filter(|line| line.contains(&format!(":{GROUP}/"))) {
            if let Some(name) = name_of(line) {
                let _ = self.host.append(&list, &format!("-:{GROUP}/{name}\n"));
            }
        }
    }

    fn instance(&self, file: &str) -> String {
        format!("{}/instances/{GROUP}/{file}", self.folder)
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        self.host.write(&self.instance(file), text)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.clear();
        if self.optimized {
            // It was written before; what it costs others when it fails is speed.
            let _ = self.host.write(OPTIMIZATION, "1");
        }
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

/// Events that a CPU's `stats` say were overwritten or dropped.
fn dropped(stats: &str) -> u64 {
    let count = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    count("overrun:").unwrap_or(0) + count("dropped events:").unwrap_or(0)
}

/// `NAME HITS MISSED` for each probe (Documentation/trace/kprobetrace.rst).
fn missed(profile: &str) -> u64 {
    let ours = profile.lines().filter(|line| line.split_whitespace().next().is_some_and(is_ours));
    ours.filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// Names of our probes, as the profile has them.
fn is_ours(name: &str) -> bool {
    let known = ["call", "callr", "end", "endr"];
    let numbered = ["enter", "leave", "ack", "state", "saw"];
    known.contains(&name) || numbered.iter().any(|p| name.strip_prefix(p).is_some_and(|n| n.parse::<u8>().is_ok()))
}

/// Where tracefs is; mounts it where nobody did.
fn tracefs(host: &Host) -> Result<&'static str, Trouble> {
    let find = || TRACE_FOLDERS.into_iter().find(|folder| host.has(&format!("{folder}/kprobe_events")));
    if let Some(folder) = find() {
        return Ok(folder);
    }
    if host.is_real() {
        let none: Option<&str> = None;
        let _ =
            nix::mount::mount(Some("tracefs"), TRACE_FOLDERS[0], Some("tracefs"), nix::mount::MsFlags::empty(), none);
    }
    let help =
        "mount -t tracefs tracefs /sys/kernel/tracing, in a kernel with CONFIG_KPROBE_EVENTS; or go without: --blind";
    find().ok_or_else(|| Trouble::host("the kernel offers no probes (no kprobe_events in tracefs)", help))
}

fn no_probes(doing: &str, error: &io::Error) -> Trouble {
    let help = "be root, on a kernel without lockdown=confidentiality; or go without: --blind";
    Trouble::host(format!("cannot {doing}: {error}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_lost_is_told() {
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
    fn the_kernels_own_counts_are_read() {
        assert_eq!(
            dropped("entries: 5\noverrun: 2\ncommit overrun: 0\nbytes: 9\ndropped events: 3\nread events: 1\n"),
            5
        );
        assert_eq!(dropped("entries: 5\noverrun: 0\ndropped events: 0\n"), 0);
        assert_eq!(missed("  call    10    1\n  ack0    5    2\n  somebody_elses    9    9\n"), 3);
    }

    /// A host without probes is told so, and nothing is left behind.
    #[test]
    fn cannot_observe_without_probes() {
        let fake = crate::fake::Fake::new();
        fake.remove("/sys/kernel/tracing");
        assert!(Observer::start(&fake.host(), 4).unwrap_err().help.contains("CONFIG_KPROBE_EVENTS"));
        fake.put("/sys/kernel/tracing/kprobe_events", "");
        assert!(Observer::start(&fake.host(), 4).unwrap_err().cause.contains("kallsyms"));
        let names = ["do_seamldr_install_module", "multi_cpu_stop", "set_cpu_online", "__seamcall", "__seamcall_ret"];
        let symbols: String =
            names.iter().enumerate().fold(String::new(), |all, (n, name)| all + &format!("{}0 t {name}\n", n + 1));
        fake.put("/proc/kallsyms", symbols);
        fake.put(OPTIMIZATION, "1");
        assert!(Observer::start(&fake.host(), 4).unwrap_err().cause.contains("cannot set up tracing"));
        assert_eq!(fake.host().read(OPTIMIZATION).unwrap(), "1", "as it was before");
    }
}
