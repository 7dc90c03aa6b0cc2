//! A machine without an operating system: a program of its own before the emulated firmware, as a TDX host.

use super::child::die_with_thread;
use super::command::{CPU, DETERMINISTIC, Line, MACHINE, NO_RANDOM, ONE_THREAD, escape_path};
use rig_wire::plan::DETERMINISTIC_SHIFT;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A machine that starts an ELF file by its PVH entry.
#[derive(Clone, Debug)]
pub struct BareMachine {
    /// vCPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// The ELF file.
    pub program: PathBuf,
    /// Its command line.
    pub words: String,
    /// The emulator's plugin and its plan file.
    pub plugin: (PathBuf, PathBuf),
    /// File for the serial port.
    pub console: PathBuf,
    /// Which threads run the vCPUs.
    pub threads: Threads,
}

/// Which threads run the vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One for each.
    Many,
    /// One for all.
    One,
    /// One for all, on a clock that counts instructions: each run is like the other.
    Counted,
}

impl BareMachine {
    /// Starts it by this QEMU. It is killed when the thread that called this ends, however it ends: wait for it there.
    pub fn start(&self, mut qemu: Command) -> io::Result<Child> {
        qemu.args(self.arguments()).stdin(Stdio::null());
        die_with_thread(&mut qemu);
        qemu.spawn()
    }

    /// QEMU's arguments. When the program writes N to port 0xF4, QEMU ends with exit code 2N + 1.
    fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        line.words(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        let clock = format!("shift={DETERMINISTIC_SHIFT},sleep=off");
        let random = if self.threads == Threads::Counted { NO_RANDOM } else { "" };
        match self.threads {
            Threads::Many => line.words(["-accel", "tcg,thread=multi"]),
            Threads::One => line.words(["-accel", ONE_THREAD]),
            Threads::Counted => line.words(["-accel", ONE_THREAD, "-icount", &clock].into_iter().chain(DETERMINISTIC)),
        }
        line.words(["-machine", MACHINE, "-cpu", &format!("{CPU}{random}")]);
        line.words(["-smp", &format!("{n},sockets=1,cores={n},threads=1", n = self.cpus)]);
        line.words(["-m", &format!("{}M", self.memory_mib)]);
        line.word("-kernel").word(&self.program);
        line.words(["-append", &self.words]);
        line.word("-serial").option("file:", &[], &self.console);
        line.words(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
        let (library, plan) = &self.plugin;
        line.word("-plugin").option("file=", &[], library).append(",plan=").append(escape_path(plan));
        line.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_the_machine_is() {
        let machine = |threads| BareMachine {
            cpus: 2,
            memory_mib: 512,
            program: "/p/program.elf".into(),
            words: "cpus=2".into(),
            plugin: ("/p/plugin.so".into(), "/p/plan.json".into()),
            console: "/p/console".into(),
            threads,
        };
        let line = |threads| {
            let arguments = machine(threads).arguments();
            arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let many = line(Threads::Many);
        for part in ["-smp 2,sockets=1", "-kernel /p/program.elf -append cpus=2", "plan=/p/plan.json", "thread=multi"] {
            assert!(many.contains(part), "{part} is not in {many}");
        }
        assert!(!line(Threads::One).contains("icount") && line(Threads::One).contains("thread=single"));
        assert!(
            line(Threads::Counted).contains("-icount shift=1,sleep=off") && line(Threads::Counted).contains("-rdrand")
        );
    }
}
