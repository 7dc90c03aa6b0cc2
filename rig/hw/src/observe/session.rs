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

/// Buffer of each CPU, KiB. One update takes some hundred bytes of it, a load of SEAMCALLs more.
const BUFFER_KIB: u32 = 4096;
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
            notes: Vec::new(),
        };
        this.clear();
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
        let records = trace.lines.iter().flat_map(|line| converter.convert(line, ns(line.time))).collect();
        Ok(Observed { records, lost: self.loss(&trace, converter.unreadable) })
    }

    /// Why what was recorded is not all.
    fn loss(&self, trace: &trace::Trace<'_>, unreadable: u64) -> Option<String> {
        let overrun = self.overrun();
        let missed = self.missed();
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

    /// Events that were dropped or overwritten on any CPU.
    fn overrun(&self) -> u64 {
        let of_cpu = |cpu: usize| {
            let stats = self.host.text(&self.instance(&format!("per_cpu/cpu{cpu}/stats"))).unwrap_or_default();
            let count = |name: &str| stats.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok());
            count("overrun:").unwrap_or(0) + count("dropped events:").unwrap_or(0)
        };
        (0..self.cpus).map(of_cpu).sum()
    }

    /// `NAME HITS MISSED` for each probe (Documentation/trace/kprobetrace.rst).
    fn missed(&self) -> u64 {
        let profile = self.host.text(&format!("{}/kprobe_profile", self.folder)).unwrap_or_default();
        let ours = profile.lines().filter(|line| line.split_whitespace().next().is_some_and(is_ours));
        ours.filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
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
    }
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
