//! The emulated TDX host as a place for programs: what `rig exec` and `rig shell` have in common.

use super::show;
use crate::run::{self, Options};
use crate::scenario::{Budget, ClientOrder, Expect, Scenario, Tds, Userspace};
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use rig_judge::report::{Look, terminal};
use rig_judge::{Outcome, Verdict};
use rig_wire::agent::Executed;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Packages that are there always.
const PACKAGES: [&str; 5] = ["coreutils", "dash", "grep", "sed", "util-linux"];
/// Debian's shell.
const SHELL: &str = "/usr/bin/sh";
/// Where it looks for programs.
pub(super) const PATHS: &str = "export HOME=/ PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// CPU time without progress after which a guest with a person or a program in it counts as hung, seconds: never, in effect. It may
/// wait for input, or sleep, as long as it likes.
const PATIENCE_S: u32 = 1_000_000;
/// A person may make so many updates.
const MOST_UPDATES: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct HostFlags {
    /// vCPUs of the machine (1 to 512)
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Trust domains that KVM builds, and runs meanwhile
    #[arg(long, value_name = "N")]
    tds: Option<u32>,
    /// A kernel of your own: a build tree, or a bzImage with its System.map beside it; or the rig's as `profile:debug`,
    /// `profile:kcsan` or `profile:rt`
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// A package of Debian's for the guest, beside coreutils, dash, grep, sed and util-linux; may be repeated
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Files of yours for the guest, which lie in /client there: a file, or a folder with all that is in it; may be repeated
    #[arg(long = "client", value_name = "PATH")]
    clients: Vec<PathBuf>,
    /// Run folder; must not exist or be empty [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A QEMU of your own (11.1 or later, with plugins)
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
}

/// What a program in the host came to.
pub(super) struct ProgramRun {
    pub(super) verdict: Verdict,
    /// How it ended; none: it did not.
    pub(super) executed: Option<Executed>,
}

impl HostFlags {
    /// A host in which the shell gets these arguments.
    fn scenario(&self, name: &str, arguments: Vec<String>) -> Result<Scenario, Trouble> {
        let packages = PACKAGES.iter().map(|name| (*name).to_owned()).chain(self.packages.iter().cloned()).collect();
        let order =
            ClientOrder { program: SHELL.into(), arguments, updates: Some(MOST_UPDATES), ..ClientOrder::default() };
        let plain = Scenario::default();
        let scenario = Scenario {
            name: name.into(),
            why: "A program runs in the emulated TDX host.".into(),
            cpus: self.cpus.unwrap_or(plain.cpus),
            updates: 0,
            kernel: self.kernel.clone(),
            tds: self.tds.map(|count| Tds { count, ..Tds::default() }),
            userspace: Some(Userspace { packages, given: self.clients.clone(), ..Userspace::default() }),
            clients: vec![order],
            // Whether a program updates anything is its own business.
            expect: Expect { held: Some(Vec::new()), ..Expect::default() },
            budget: Budget { stall_cpu_s: Some(PATIENCE_S), ..Budget::default() },
            ..plain
        };
        scenario.check().map_err(|cause| Trouble::usage(cause, "change the flag"))?;
        Ok(scenario)
    }

    /// Runs the shell with these arguments in such a host, with a terminal at this socket, if any.
    pub(super) fn run(
        &self,
        name: &str,
        arguments: Vec<String>,
        terminal: Option<PathBuf>,
    ) -> Result<ProgramRun, Trouble> {
        let total = Instant::now();
        let options = Options { out: self.out.clone(), qemu: self.qemu.clone(), terminal, ..Options::default() };
        let prepared = run::prepare(self.scenario(name, arguments)?, &options, &Progress::stderr())?;
        let (verdict, executed) = run::run_program(prepared, total, &Progress::silent())?;
        Ok(ProgramRun { verdict, executed })
    }
}

impl ProgramRun {
    /// Passes on what the program said; its exit code, or that there is none because the machine failed or an invariant broke.
    pub(super) fn pass_on(&self) -> u8 {
        let Self { verdict, executed } = self;
        if let Some(Executed { stdout, stderr, .. }) = executed {
            // Whoever closed these does not want to know.
            let _ = std::io::stdout().write_all(stdout);
            let _ = std::io::stderr().write_all(stderr);
        }
        match executed {
            Some(executed) if is_sound(verdict) => u8::try_from(executed.code).unwrap_or(u8::MAX),
            _ => {
                eprintln!("{}", terminal(verdict, Look::of(&std::io::stderr())).trim_end());
                Exit::Untestable as u8
            }
        }
    }

    /// Shows what the machine came to; the exit code of that.
    pub(super) fn show(&self) -> u8 {
        show::print(&self.verdict, false);
        self.verdict.exit_code
    }
}

/// Whether the machine came to its end and no invariant broke in it. A program that fails is no failure of the machine.
fn is_sound(verdict: &Verdict) -> bool {
    let ended = matches!(verdict.verdict, Outcome::Passed | Outcome::Failed);
    ended && verdict.breaches.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rig_judge::Facts;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        host: HostFlags,
    }

    #[test]
    fn a_host_has_what_the_flags_say() {
        let words = ["x", "--cpus", "2", "--tds", "1", "--package", "procps", "--client", "a.py"];
        let scenario = Line::parse_from(words).host.scenario("exec", vec!["-c".into()]).unwrap();
        assert_eq!((scenario.cpus, scenario.updates), (2, 0));
        assert_eq!(scenario.tds.map(|tds| tds.count), Some(1));
        let userspace = scenario.userspace.unwrap();
        assert!(userspace.packages.contains(&"procps".into()) && userspace.packages.contains(&"dash".into()));
        assert_eq!(userspace.given, [PathBuf::from("a.py")]);
        assert!(Line::parse_from(["x", "--cpus", "0"]).host.scenario("exec", Vec::new()).is_err());
    }

    #[test]
    fn the_exit_code_is_the_programs_unless_the_machine_failed() {
        let code = |outcome, executed: Option<i32>| {
            let verdict = Verdict::unjudged(Facts::default(), outcome, "", None);
            let executed = executed.map(|code| Executed { code, stdout: Vec::new(), stderr: Vec::new() });
            ProgramRun { verdict, executed }.pass_on()
        };
        assert_eq!(code(Outcome::Passed, Some(0)), 0);
        assert_eq!(code(Outcome::Failed, Some(3)), 3, "the check of its exit code is not met");
        assert_eq!(code(Outcome::GuestCrashed, None), 125);
        assert_eq!(code(Outcome::RigError, Some(0)), 125);
    }
}
