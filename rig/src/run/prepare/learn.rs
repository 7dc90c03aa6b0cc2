//! The symbols of a kernel that comes without them: it is booted once, and they are read from it.

use crate::guest::{Guest, GuestError, kernel_log};
use crate::machine::command::{GUESSED_HZ, MachineSpec, MachineStart, Processor};
use crate::machine::sockets::RuntimeDir;
use crate::machine::{Machine, clone_command};
use crate::trouble::Trouble;
use rig_images::{Kernel, Progress};
use std::path::PathBuf;
use std::time::Duration;

/// All symbols, as `ADDRESS TYPE NAME`; those of modules have the module's name behind them.
const KALLSYMS: &str = "/proc/kallsyms";
/// Host time for a boot and the reading; it takes some ten seconds on two idle cores.
const LIMIT: Duration = Duration::from_secs(300);

/// Boots `kernel` without firmware, reads its symbols, and ends it. The text has the form of a `System.map`.
pub(super) fn symbols(
    qemu: &std::process::Command,
    kernel: &Kernel,
    initramfs: PathBuf,
    progress: &Progress,
) -> Result<String, Trouble> {
    let runtime = RuntimeDir::create()?;
    let spec = MachineSpec {
        processor: Processor::TdxHost,
        mailbox: None,
        share: None,
        terminal: None,
        cpus: 1,
        memory_mib: 1024,
        kernel: kernel.bzimage.clone(),
        initramfs,
        kernel_arguments: String::new(),
        plugin: None,
        console: runtime.path("console.log"),
        hz: GUESSED_HZ,
        tsc_khz: None,
        start: MachineStart::Boot,
        deterministic: false,
        monitored: true,
    };
    let step = progress.step(&format!("ask Linux {} for its symbols", kernel.release), 0);
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads =
        threads.map_err(|e| Trouble::environment(format!("cannot start threads: {e}"), "check `ulimit -a`"))?;
    let text = threads.block_on(async {
        let asked = tokio::time::timeout(LIMIT, ask(clone_command(qemu), &spec, &runtime)).await;
        asked.unwrap_or_else(|_| Err(unanswered(kernel, &format!("no answer within {} s", LIMIT.as_secs()))))
    })?;
    step.done();
    let own: String = text.lines().filter(|line| !line.contains('[')).flat_map(|line| [line, "\n"]).collect();
    if !own.lines().any(|line| line.ends_with(" _stext") && !line.starts_with("0000000000000000")) {
        return Err(unanswered(kernel, "it hides its symbols' addresses"));
    }
    Ok(own)
}

async fn ask(qemu: std::process::Command, spec: &MachineSpec, runtime: &RuntimeDir) -> Result<String, Trouble> {
    let (_machine, agent) = Machine::start(qemu, spec, runtime, &runtime.path("qemu.log")).await?;
    // Its log is not needed.
    let (log, _) = kernel_log();
    let guest = Guest::new(agent, log);
    let gone = |e: GuestError| Trouble::environment(format!("the kernel's symbols: {e}"), HELP);
    guest.ready().await.map_err(gone)?;
    let bytes = guest.fetch(KALLSYMS).await.map_err(gone)?;
    let bytes =
        bytes.ok_or_else(|| Trouble::environment(format!("the kernel's symbols: it has no {KALLSYMS}"), HELP))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const HELP: &str = "put the kernel's complete System.map beside its image, and give the image with --kernel";

fn unanswered(kernel: &Kernel, why: &str) -> Trouble {
    Trouble::environment(format!("Linux {} does not show its symbols: {why}", kernel.release), HELP)
}
