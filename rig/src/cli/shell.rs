//! `rig shell`

use super::local_terminal::{self, LocalTerminal};
use super::tdx_host::{HostFlags, PATHS};
use crate::trouble::Trouble;
use std::io::{IsTerminal, Read};

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig shell                                  Debian's shell in the emulated TDX host
  cargo rig shell --tds 2 --package procps         with two trust domains that KVM runs, and with ps
  echo 'ls /sys/class/firmware' | cargo rig shell  a script, as without a terminal

The update device is /sys/class/firmware/tdx_module, and images for it lie in /client/joined_files:

  cd /sys/class/firmware/tdx_module
  echo 1 > loading; cat /client/joined_files/1.5/tdx_module_1.5.07.blob > data; echo 0 > loading
  cat status error /sys/devices/faux/tdx_host/version

All that happens is recorded and judged: at the end the verdict is shown. An invariant that breaks ends the
machine. exit or Ctrl-D leaves the shell; Ctrl-] ends the machine whatever it does.

Exit codes: those of the run; of a script those of `cargo rig exec`.";

/// Longest script (`MAX_ARG_STRLEN` of include/uapi/linux/binfmts.h is 32 pages, of which some are left for the rest).
const MAX_SCRIPT: u64 = 120 << 10;
/// The terminal in the guest.
const TTY: &str = "/dev/hvc0";

#[derive(Debug, clap::Args)]
pub(super) struct ShellArguments {
    #[command(flatten)]
    host: HostFlags,
}

pub(super) fn run(arguments: &ShellArguments) -> Result<u8, Trouble> {
    if std::io::stdin().is_terminal() { on_terminal(&arguments.host) } else { script(&arguments.host) }
}

/// Without a terminal the input is a script.
fn script(host: &HostFlags) -> Result<u8, Trouble> {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_SCRIPT + 1).read_to_string(&mut text);
    read.map_err(|e| Trouble::usage(format!("the script on stdin cannot be read: {e}"), "give a text"))?;
    if text.len() as u64 > MAX_SCRIPT {
        let cause = format!("the script on stdin is longer than {} KiB", MAX_SCRIPT >> 10);
        return Err(Trouble::usage(cause, "bring it as a file with --client, and run it from /client"));
    }
    let arguments = vec!["-c".to_owned(), format!("{PATHS}\n{text}")];
    Ok(host.run("shell", arguments, None)?.pass_on())
}

fn on_terminal(host: &HostFlags) -> Result<u8, Trouble> {
    let terminal = LocalTerminal::offer()?;
    let arguments = vec!["-c".to_owned(), login(local_terminal::rows_and_columns(), &local_terminal::kind())];
    let ran = host.run("shell", arguments, Some(terminal.socket()));
    drop(terminal);
    let ran = ran?;
    // Where the guest has no such terminal the shell says so.
    if let Some(executed) = ran.executed.as_ref().filter(|executed| executed.code != 0) {
        eprint!("{}", String::from_utf8_lossy(&executed.stderr));
    }
    Ok(ran.show())
}

/// Gives the shell the guest's terminal. What the person's last command came to is no result of the run.
fn login((rows, columns): (u16, u16), kind: &str) -> String {
    format!(
        "exec < {TTY} > {TTY} || exit 1
stty rows {rows} cols {columns}
{PATHS} TERM='{kind}' PS1='tdx-host# '
echo \"Linux $(uname -r), TDX module $(cat /sys/devices/faux/tdx_host/version). Update device: \\
/sys/class/firmware/tdx_module, images: /client/joined_files. exit or Ctrl-D leaves, Ctrl-] ends the machine.\"
setsid --ctty --wait sh -i 2> {TTY} || :
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_script_is_one_for_a_shell() {
        let text = login((24, 80), "xterm-256color");
        assert!(text.contains("stty rows 24 cols 80") && text.contains("TERM='xterm-256color'"), "{text}");
        let checked = std::process::Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}
