//! tracefs: our tracing instance, our probes, and what the kernel counts of them.
//!
//! Everything happens in an instance of its own, so that no other tracing is disturbed.

use crate::host::Host;
use std::fs;
use std::io;

/// Where it can be.
pub(crate) const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The group of all our probes, and the name of our instance.
pub(crate) const GROUP: &str = "seamrig";

/// A host's tracefs.
#[derive(Clone, Debug)]
pub(crate) struct Tracefs {
    host: Host,
    folder: String,
}

impl Tracefs {
    /// The one that is mounted at this folder.
    pub(crate) fn at(host: &Host, folder: &str) -> Self {
        Self { host: host.clone(), folder: folder.to_owned() }
    }

    /// The one that is mounted and offers probes.
    pub(crate) fn find(host: &Host) -> Option<Self> {
        let folder = FOLDERS.into_iter().find(|folder| host.has(&format!("{folder}/kprobe_events")));
        folder.map(|folder| Self::at(host, folder))
    }

    /// The folder, for the way back.
    pub(crate) fn folder(&self) -> String {
        self.folder.clone()
    }

    /// Makes our instance, whose buffers are still empty and off.
    pub(crate) fn make_instance(&self, clock: &str, buffer_kib: u32) -> io::Result<()> {
        self.host.make_folder(&self.instance())?;
        self.write("tracing_on", "0")?;
        self.write("trace_clock", clock)?;
        // What is full drops what is new, so that the beginning stays whole and the loss is counted.
        self.write("options/overwrite", "0")?;
        self.write("buffer_size_kb", &buffer_kib.to_string())
    }

    /// Adds probes.
    pub(crate) fn define(&self, all: &[String]) -> io::Result<()> {
        for definition in all {
            let failed = |e: io::Error| io::Error::new(e.kind(), format!("{definition}: {e}"));
            self.host.append(&self.list(), &format!("{definition}\n")).map_err(failed)?;
        }
        Ok(())
    }

    /// Switches all our probes.
    pub(crate) fn switch_events(&self, on: bool) -> io::Result<()> {
        self.write(&format!("events/{GROUP}/enable"), if on { "1" } else { "0" })
    }

    /// Writes to a file of our instance.
    pub(crate) fn write(&self, file: &str, text: &str) -> io::Result<()> {
        self.host.write(&format!("{}/{file}", self.instance()), text)
    }

    /// What our instance recorded.
    pub(crate) fn trace(&self) -> io::Result<String> {
        let bytes = fs::read(self.host.path(&format!("{}/trace", self.instance())))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Removes all our probes, of this command or of one that was killed, and looks whether they are gone.
    pub(crate) fn remove_probes(&self) -> Result<(), String> {
        let defined = self.our_probes()?;
        if !defined.is_empty() && self.host.has(&self.instance()) {
            self.switch_events(false).map_err(|e| format!("switch probes off: {e}"))?;
        }
        let mut first = None;
        for name in defined.iter().filter_map(|line| name_of(line)) {
            let removed = self.host.append(&self.list(), &format!("-:{GROUP}/{name}\n"));
            first = first.or(removed.err());
        }
        match self.our_probes()?.len() {
            0 => Ok(()),
            left => {
                let why = first.map_or_else(|| "the kernel does not say why".into(), |error| error.to_string());
                Err(format!("{left} probes are still in {}: {why}", self.list()))
            }
        }
    }

    /// Removes our instance, and looks whether it is gone.
    pub(crate) fn remove_instance(&self) -> Result<(), String> {
        let instance = self.instance();
        if !self.host.has(&instance) {
            return Ok(());
        }
        let stopped = self.write("tracing_on", "0");
        self.host.remove_folder(&instance).map_err(|e| match stopped {
            Ok(()) => format!("remove {instance}: {e}"),
            Err(first) => format!("stop tracing in {instance}: {first}; remove it: {e}"),
        })?;
        if self.host.has(&instance) { Err(format!("{instance} is still there")) } else { Ok(()) }
    }

    /// Events that were dropped or overwritten on any of so many CPUs. A CPU that is not there has no counts.
    pub(crate) fn overrun(&self, cpus: usize) -> io::Result<u64> {
        let folders = (0..cpus).map(|cpu| format!("{}/per_cpu/cpu{cpu}", self.instance()));
        let counts = folders.filter(|folder| self.host.has(folder)).map(|folder| {
            let stats = self.host.read(&format!("{folder}/stats"))?;
            dropped(&stats).ok_or_else(|| io::Error::other(format!("{folder}/stats cannot be understood: {stats:?}")))
        });
        counts.sum()
    }

    /// Hits of our probes that the kernel missed until now.
    pub(crate) fn missed(&self) -> io::Result<u64> {
        Ok(missed(&self.host.read(&format!("{}/kprobe_profile", self.folder))?))
    }

    fn our_probes(&self) -> Result<Vec<String>, String> {
        let list = self.list();
        // A tracefs that is gone has no probes.
        if !self.host.has(&list) {
            return Ok(Vec::new());
        }
        let defined = self.host.read(&list).map_err(|e| format!("read {list}: {e}"))?;
        Ok(defined.lines().filter(|line| line.contains(&format!(":{GROUP}/"))).map(str::to_owned).collect())
    }

    fn list(&self) -> String {
        format!("{}/kprobe_events", self.folder)
    }

    fn instance(&self) -> String {
        format!("{}/instances/{GROUP}", self.folder)
    }
}

/// Names of the probes in definitions, for taking them away.
pub(crate) fn name_of(definition: &str) -> Option<&str> {
    definition.split_once(':')?.1.split(' ').next()?.split_once('/').map(|(_, name)| name)
}

/// Events that a CPU's `stats` say were overwritten or dropped.
fn dropped(stats: &str) -> Option<u64> {
    let count = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(count("overrun:")? + count("dropped events:")?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    const LIST: &str = "/sys/kernel/tracing/kprobe_events";

    #[test]
    fn the_kernels_own_counts_are_read() {
        let stats = "entries: 5\noverrun: 2\ncommit overrun: 0\nbytes: 9\ndropped events: 3\nread events: 1\n";
        assert_eq!(dropped(stats), Some(5));
        assert_eq!(dropped("entries: 5\noverrun: 0\ndropped events: 0\n"), Some(0));
        assert_eq!(dropped("entries: 5\n"), None, "no count is not a count of nothing");
        assert_eq!(missed("  call    10    1\n  ack0    5    2\n  somebody_elses    9    9\n"), 3);
    }

    /// Removed is what the kernel no longer lists, and no other probes are touched.
    #[test]
    fn probes_are_gone_when_the_kernel_says_so() {
        let fake = Fake::new();
        fake.put(LIST, "p:seamrig/call __seamcall\np:other/call f\nr4:seamrig/end __seamcall\n");
        let tracefs = Tracefs::at(&fake.host(), FOLDERS[0]);
        fake.fail(LIST, "-:seamrig/end", 0, 1);
        let why = tracefs.remove_probes().unwrap_err();
        assert!(why.contains("1 probes are still in") && why.contains("busy"), "{why}");
        assert_eq!(tracefs.remove_probes(), Ok(()));
        assert_eq!(fake.host().read(LIST).unwrap(), "p:other/call f");
    }

    #[test]
    fn an_instance_is_gone_when_the_kernel_says_so() {
        let fake = Fake::new();
        let tracefs = Tracefs::at(&fake.host(), FOLDERS[0]);
        assert_eq!(tracefs.remove_instance(), Ok(()), "there is none");
        tracefs.make_instance("counter", 64).unwrap();
        fake.fail("/sys/kernel/tracing/instances/seamrig", "rmdir", 0, 1);
        assert!(tracefs.remove_instance().unwrap_err().contains("remove"));
        assert_eq!(tracefs.remove_instance(), Ok(()));
    }
}
