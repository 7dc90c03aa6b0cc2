//! A machine that is left stopped where an invariant broke, for a person with gdb.

use super::observer::Alarm;
use super::running_machine::RunningMachine;
use super::stop::Stop;
use crate::machine::Monitors;
use crate::run::prepare::options::AtBreach;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_wire::plan::Watch;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The stub's socket in the runtime folder.
const GDB_SOCKET: &str = "gdb.sock";
/// What gdb is told, in the run folder.
const SCRIPT: &str = "at-breach.gdb";
/// How far above the kernel's image its build tree's `vmlinux` may be: `arch/x86/boot/bzImage`.
const TREE_LEVELS: usize = 4;

/// Stops the machine if an invariant broke in it or it hangs, and waits until a person or the time ends that, or QEMU is gone.
pub(super) async fn leave_stopped(
    running: &RunningMachine,
    stop: &Stop,
    at_breach: AtBreach,
    progress: &Progress,
) -> Result<(), Trouble> {
    let hangs = matches!(stop, Stop::Stalled(_) | Stop::Alarm(Alarm::Hung(_)));
    if !hangs && !matches!(stop, Stop::Alarm(Alarm::Breach(_))) {
        progress.say("nothing broke while the machine ran, so none is left stopped");
        return Ok(());
    }
    let monitors = running.machine.monitors.as_ref().expect("the command line asked for a machine with monitors");
    let socket = running.parts.runtime.path(GDB_SOCKET);
    let help = "run it without --stop-at-breach, and see qemu.log in the run folder";
    monitors.stop_for_gdb(&socket).await.map_err(|e| Trouble::environment(e.to_string(), help))?;
    let symbols = file_with_symbols(&running.description.kernel_image.path);
    let folder = &running.description.folder;
    folder.write(SCRIPT, script(symbols.as_deref(), &socket, &running.subject.observation.watches))?;
    progress.say(&invitation(&folder.file(SCRIPT), at_breach));
    wait(running, at_breach).await;
    if hangs {
        resume(monitors).await;
    }
    Ok(())
}

async fn wait(running: &RunningMachine, at_breach: AtBreach) {
    let over = async {
        match at_breach.keep {
            Some(keep) => tokio::time::sleep(keep).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = running.interrupts.reached(1) => {}
        _ = running.machine.process.exited() => {}
    }
}

/// What is looked at after a hang needs a guest that runs. One that does not go on is looked at as it stands.
async fn resume(monitors: &Monitors) {
    if let Err(e) = monitors.go_on().await {
        tracing::debug!("the machine does not go on: {e}");
    }
}

fn invitation(script: &Path, at_breach: AtBreach) -> String {
    let until = match at_breach.keep {
        Some(keep) => format!("until Ctrl-C, for {} s at most", keep.as_secs()),
        None => "until Ctrl-C".to_owned(),
    };
    format!("the machine is stopped {until}. In another terminal:\n  gdb -x {}", script.display())
}

/// The ELF file with the kernel's symbols: its image itself, or the one of its build tree.
fn file_with_symbols(image: &Path) -> Option<PathBuf> {
    let folders = image.ancestors().skip(1).take(TREE_LEVELS);
    folders.map(|folder| folder.join("vmlinux")).find(|file| file.is_file())
}

/// What gdb does first. Without debugging information it knows no types, so the watched words are read by their addresses.
fn script(symbols: Option<&Path>, socket: &Path, watches: &[Watch]) -> String {
    let mut text = String::from("# The stopped machine of a run of seamrig. CPU n is gdb's thread n+1.\n");
    text.push_str("set pagination off\nset confirm off\n");
    match symbols {
        Some(file) => _ = writeln!(text, "symbol-file {}", file.display()),
        None => text.push_str(
            "# There is no vmlinux beside the kernel's image: gdb has no symbols.\nset architecture i386:x86-64\n",
        ),
    }
    let _ = writeln!(text, "target remote {}", socket.display());
    text.push_str("define watched\n");
    for Watch { name, address, size, .. } in watches.iter().filter(|watch| watch.address != 0) {
        let kind = match size {
            1 => "char",
            2 => "short",
            4 => "int",
            _ => "long",
        };
        let _ = writeln!(text, "  printf \"{name} = %lu\\n\", (unsigned long)*(unsigned {kind} *){address:#x}");
    }
    text.push_str("end\ndocument watched\nPrint the words of the update that the rig watches.\nend\n");
    text.push_str("watched\ninfo threads\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_is_told_where_everything_is() {
        let watch = |name: &str, address| Watch { name: name.into(), address, size: 4, within: Vec::new() };
        let watches = [watch("update_ctrl.state", 0xffff_ffff_817c_7d60), watch("lockstep.step", 0)];
        let text = script(Some(Path::new("/k/vmlinux")), Path::new("/t/gdb.sock"), &watches);
        assert!(text.contains("symbol-file /k/vmlinux\ntarget remote /t/gdb.sock\n"), "{text}");
        assert!(
            text.contains(r#"printf "update_ctrl.state = %lu\n", (unsigned long)*(unsigned int *)0xffffffff817c7d60"#),
            "{text}"
        );
        assert!(!text.contains("lockstep.step"), "it is not known where that lies: {text}");
        assert!(!script(None, Path::new("/t/gdb.sock"), &watches).contains("symbol-file"));
    }

    #[test]
    fn symbols_are_in_the_build_tree() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("arch/x86/boot")).unwrap();
        let image = tree.path().join("arch/x86/boot/bzImage");
        assert_eq!(file_with_symbols(&image), None);
        std::fs::write(tree.path().join("vmlinux"), "").unwrap();
        assert_eq!(file_with_symbols(&image), Some(tree.path().join("vmlinux")));
        assert_eq!(file_with_symbols(&tree.path().join("vmlinux")), Some(tree.path().join("vmlinux")));
    }
}
