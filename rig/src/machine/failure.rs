//! Why a QEMU that died at its start did so, by what it said.

use super::QemuExit;
use crate::trouble::Trouble;

/// What QEMU says of features that are wanted exactly because it lacks them.
const EXPECTED: &str = "TCG doesn't support requested feature";

/// How the plugin's messages begin.
const PLUGIN: &str = "seam-plugin:";

/// What QEMU's messages contain, and what mends it.
const REMEDIES: [(&str, &str); 7] = [
    ("requires API version", "use QEMU 11.1 or later: leave out --qemu to take the rig's own"),
    ("API version", "use QEMU 11.1 or later: leave out --qemu to take the rig's own"),
    ("plugin interface not enabled", "use a QEMU built with --enable-plugins: leave out --qemu to take the rig's own"),
    ("-plugin: invalid option", "use a QEMU built with --enable-plugins: leave out --qemu to take the rig's own"),
    (PLUGIN, "see the plan in the run folder; if it looks right, this is a defect of the rig"),
    ("Could not load plugin", "rebuild it: cargo rig images clean, then run again"),
    ("Cannot allocate memory", "free some memory, or use fewer CPUs or less memory in the scenario"),
];

/// The trouble for a QEMU that ended before the guest ran.
pub fn died_at_start(exit: QemuExit, stderr: &str) -> Trouble {
    let said = meaningful(stderr);
    let cause = match &said {
        Some(line) => format!("QEMU ended at its start ({exit}): {line}"),
        None => format!("QEMU ended at its start ({exit}) and said nothing"),
    };
    let fallback = "see qemu.log and qemu.txt in the run folder";
    let remedy = REMEDIES.iter().find(|(part, _)| stderr.contains(part)).map_or(fallback, |(_, remedy)| remedy);
    Trouble::environment(cause, remedy)
}

/// The plugin's own message if there is one, else the last line that is no expected warning, without QEMU's program name.
pub fn meaningful(stderr: &str) -> Option<String> {
    if let Some(line) = stderr.lines().find(|l| l.starts_with(PLUGIN)) {
        return Some(line.trim().to_owned());
    }
    let line = stderr.lines().rev().map(str::trim).find(|l| !l.is_empty() && !l.contains(EXPECTED))?;
    let line = line.split_once("qemu-system-x86_64: ").map_or(line, |(_, rest)| rest);
    Some(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn failure(status: i32) -> QemuExit {
        ExitStatus::from_raw(status).into()
    }

    #[test]
    fn the_last_real_line_is_the_cause() {
        let stderr = "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID[...]\n\
                      qemu-system-x86_64: could not open kernel file '/x': No such file or directory\n\
                      qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID[...]\n";
        let trouble = died_at_start(failure(256), stderr);
        assert!(trouble.cause.ends_with("could not open kernel file '/x': No such file or directory"));
        assert!(trouble.help.contains("qemu.log"));
    }

    #[test]
    fn known_causes_have_their_remedy() {
        for (stderr, remedy) in [
            ("TCG plugin plugin.so requires API version 7, but this QEMU supports only up to version 4", "QEMU 11.1"),
            ("qemu: plugin interface not enabled in this build", "--enable-plugins"),
            ("Could not load plugin /x.so: no such file", "images clean"),
        ] {
            let trouble = died_at_start(failure(256), stderr);
            assert!(trouble.help.contains(remedy), "{stderr}: {}", trouble.help);
        }
    }

    #[test]
    fn the_plugin_knows_better_than_qemu_why_it_did_not_load() {
        let stderr = "seam-plugin: cannot read /x\nqemu-system-x86_64: Could not load plugin /p.so\n";
        assert!(died_at_start(failure(256), stderr).cause.ends_with("seam-plugin: cannot read /x"));
    }

    #[test]
    fn silence_is_told_too() {
        let trouble = died_at_start(failure(11), "");
        assert!(trouble.cause.contains("said nothing") && trouble.cause.contains("signal"), "{}", trouble.cause);
    }
}
