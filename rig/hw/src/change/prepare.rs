//! From a request to everything that updates need, and back: what was changed for it is undone, whatever happened.

use super::evidence::{conclude, folder, refused, unwritten};
use super::recording::Recording;
use super::run::{Tools, Updates};
use super::story::{Say, Story};
use super::{Request, plan};
use crate::facts::Facts;
use crate::host::Host;
use crate::journal::{self, Journal};
use crate::lock::Lock;
use crate::observe::{KernelLog, Observer, setup, write_to_log};
use crate::restore::{REPAIR, Restore, pending};
use crate::signals::Signals;
use crate::trouble::Trouble;
use rig_judge::{Invariant, Verdict};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// Does what is requested; `say` gets a line for each step that is under way. The lock comes first, so that what is
/// looked at afterwards is changed by no other command.
pub fn make(host: &Host, request: &Request, say: Say<'_>) -> Result<Verdict, Trouble> {
    let started = Instant::now();
    let help = "this is a fault of the system's or of this program's: report it";
    let mut signals = Signals::block().map_err(|e| Trouble::host(format!("cannot watch for signals: {e}"), help))?;
    let lock = Lock::take(host)?;
    let left = unrepaired(host, request)?;
    let facts = Facts::of(host);
    let plan = plan(request, &facts, journal::unfinished(host).as_ref())?;
    left.iter().chain(&plan.warnings).for_each(|warning| say(&format!("warning: {warning}")));
    let folder = folder(host, request)?;
    let mut restore = Restore::new(host, Journal::open(host, lock)?);
    restore.note("begin", json!({ "command": request.what, "image": plan.image.path, "sha256": plan.image.sha256,
        "from": plan.from.map(|v| v.to_string()), "to": plan.image.version.map(|v| v.to_string()), "updates": plan.updates }))?;
    let tools = match tools(host, request, &facts, &folder, &mut restore, say) {
        Ok(tools) => tools,
        Err(trouble) => {
            put_back(&mut restore, say);
            refused((request, &plan, &facts), &trouble, &folder, say);
            restore.done(json!({ "refused": trouble.cause }))?;
            return Err(trouble);
        }
    };
    let updates = Updates { host, facts: &facts, plan, tools, restore: &mut restore, story: Story::default(), say };
    let (plan, recording, mut story) = updates.make(request, started, &mut signals);
    story.unrestored = put_back(&mut restore, say);
    story.total = started.elapsed();
    let verdict = conclude(recording, (request, &plan, &facts), &story, &folder, say);
    let done = json!({ "verdict": verdict.verdict.name(), "module": verdict.facts.module_after, "evidence": folder });
    // The outcome is known and was reported. Without this entry in the journal, only the next `check` warns of the command.
    restore.done(done).unwrap_or_else(|trouble| say(&format!("warning: {}", trouble.cause)));
    Ok(verdict)
}

/// What a command before this one changed and did not put back, which must be done first.
fn unrepaired(host: &Host, request: &Request) -> Result<Option<String>, Trouble> {
    let left = pending(host);
    let Some(first) = left.first() else { return Ok(None) };
    let cause =
        format!("a command before this one was cut short and left {} changes; first to do: {}", left.len(), first.undo);
    if request.force { Ok(Some(format!("forced although {cause}"))) } else { Err(Trouble::host(cause, REPAIR)) }
}

fn tools(
    host: &Host,
    request: &Request,
    facts: &Facts,
    folder: &Path,
    restore: &mut Restore,
    say: Say<'_>,
) -> Result<Tools, Trouble> {
    let observer = observe(host, request, facts, restore)?;
    observer.iter().flat_map(|observer| &observer.notes).for_each(|note| say(note));
    let log = KernelLog::open(host).map_err(|e| Trouble::file("read", &host.path("/dev/kmsg"), &e));
    let mut log = log?;
    let mut setup = setup(host, facts, observer.as_ref());
    if let Err(why) = shows_what_is_logged(host, &mut log) {
        say(&format!("warning: {why}: what the kernel says of the updates is not judged"));
        setup.unobservable.insert(Invariant::QuietKernel, why);
    }
    let recording = Recording::create(folder, setup).map_err(unwritten)?;
    Ok(Tools { observer, log, recording })
}

fn observe(host: &Host, request: &Request, facts: &Facts, restore: &mut Restore) -> Result<Option<Observer>, Trouble> {
    if request.blind {
        return Ok(None);
    }
    restore.note("place probes in the kernel", json!({}))?;
    let cpus = facts.present.last().map_or(1, |last| usize::from(*last) + 1);
    Observer::start(host, cpus, restore).map(Some)
}

/// Writes a line into the kernel's log and sees it come back: a log that shows nothing would look like a quiet kernel.
fn shows_what_is_logged(host: &Host, log: &mut KernelLog) -> Result<(), String> {
    const LINE: &str = "rig-hw: updates are about to begin";
    write_to_log(host, LINE).map_err(|e| format!("the kernel's log cannot be written: {e}"))?;
    let log_lines = log.lines();
    if log_lines.lines.iter().any(|line| line == LINE) {
        return Ok(());
    }
    Err(log_lines
        .lost
        .unwrap_or_else(|| "the kernel's log does not show a line that was written to it (printk.devkmsg)".into()))
}

/// Undoes every change; what stays changed is reported, and returned.
fn put_back(restore: &mut Restore, say: Say<'_>) -> Vec<String> {
    // Even where this cannot be noted it must be done.
    let noted = restore.note("stop observing", json!({}));
    noted.unwrap_or_else(|trouble| say(&format!("warning: {}", trouble.cause)));
    let failures = restore.undo_all();
    for failure in &failures {
        say(&format!("error: not restored: {failure}\nhelp: {REPAIR}"));
    }
    failures
}
