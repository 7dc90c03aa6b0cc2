//! `rig exec`

use super::tdx_host::{HostFlags, PATHS};
use crate::trouble::Trouble;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig exec -- uname -a
  cargo rig exec -- cat /sys/devices/faux/tdx_host/version
  cargo rig exec --package python3 --client my-test.py -- python3 /client/my-test.py
  cargo rig exec --tds 2 -- dmesg                     beneath two trust domains that KVM runs

The command runs as root, with nothing on its standard input, in a machine that is started for it. Module
images for updates lie in /client/joined_files. What the command wrote is shown at its end, the last MiB
of each stream. All that happens is recorded and judged, and the run folder has a report.

Exit codes: the command's own, 127 if there is no such command; 125 if there is none because the rig or
the machine failed or an invariant broke, which stderr says then.";

/// Runs what follows its first argument.
const RUN_ARGUMENTS: &str = "\"$@\"";

#[derive(Debug, clap::Args)]
pub(super) struct ExecArguments {
    #[command(flatten)]
    host: HostFlags,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

pub(super) fn run(arguments: &ExecArguments) -> Result<u8, Trouble> {
    Ok(arguments.host.run("exec", shell_arguments(&arguments.command), None)?.pass_on())
}

/// A shell around the command finds it, and tells by its exit code which signal ended it.
fn shell_arguments(command: &[String]) -> Vec<String> {
    let script = format!("{PATHS}\n{RUN_ARGUMENTS}");
    ["-c".to_owned(), script, "sh".to_owned()].into_iter().chain(command.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        let command = ["printf", "%s|", "a b", "$HOME", "'"].map(str::to_owned);
        let shell = std::process::Command::new("sh").args(shell_arguments(&command)).output().unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), "a b|$HOME|'|");
        let missing = shell_arguments(&["no-such-command-here".to_owned()]);
        assert_eq!(std::process::Command::new("sh").args(missing).output().unwrap().status.code(), Some(127));
        let killed = shell_arguments(&["sh", "-c", "kill -9 $$"].map(str::to_owned));
        assert_eq!(std::process::Command::new("sh").args(killed).output().unwrap().status.code(), Some(137));
    }
}
