//! The control socket: one JSON line in, one out. A deterministic machine must stand still for it.

use crate::emulator::Emulator;
use crate::exchange::Exchange;
use crate::rewind;
use rig_wire::event::Mark;
use rig_wire::plan::{Control, ControlReply};
use rig_wire::td::Usage;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// No request is longer: a path and a few words.
const MAX_LINE: u64 = 64 * 1024;

/// Binds the socket and serves it from a thread of its own, one client at a time.
pub(crate) fn serve(emulator: &'static Emulator, socket: &Path) -> std::io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::thread::Builder::new().name("seam-control".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away mid-line is no business of the machine.
            let _ = talk(emulator, stream);
        }
    })?;
    Ok(())
}

fn talk(emulator: &Emulator, mut stream: UnixStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let gap = emulator.exchange.as_ref().map(Exchange::stand_still);
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(emulator, &request),
            Err(e) => ControlReply::Failed { cause: format!("not a control request: {e}") },
        };
        let mut text = serde_json::to_string(&reply).expect("a reply is plain data");
        text.push('\n');
        drop(gap);
        stream.write_all(text.as_bytes())?;
    }
}

fn answer(emulator: &Emulator, request: &Control) -> ControlReply {
    match request {
        Control::Save { .. } if emulator.root.is_some() => {
            ControlReply::Failed { cause: "machine code in TDs cannot be saved".into() }
        }
        Control::Save { path } => written(path, &emulator.save()),
        Control::SaveFirmware { path } => written(path, &emulator.firmware().save()),
        Control::Park => match &emulator.exchange {
            Some(exchange) => {
                exchange.park();
                ControlReply::Ok { text: String::new() }
            }
            None => ControlReply::Failed { cause: "the agent has a port and never waits".into() },
        },
        Control::Mark { mark, argument } => {
            if *mark == Mark::UpdateBegin as u64 {
                emulator.holds().upload_begins();
            }
            emulator.record_mark(*mark, *argument);
            ControlReply::Ok { text: String::new() }
        }
        Control::Schedules { .. } if !rewind::is_possible() => {
            ControlReply::Failed { cause: rewind::IMPOSSIBLE.into() }
        }
        Control::Schedules { schedules } => {
            emulator.set_schedules(schedules.clone());
            ControlReply::Ok { text: String::new() }
        }
        Control::Watch { watches, functions } if emulator.watch(watches, functions) => {
            ControlReply::Ok { text: String::new() }
        }
        Control::Watch { .. } => {
            ControlReply::Failed { cause: "these are not the plan's watches and functions".into() }
        }
        Control::TdUsage => {
            let firmware = emulator.firmware();
            let (tds, pages, keyids) = firmware.td_usage();
            let usage = Usage { tds, pages, keyids, wrong: firmware.audit() };
            ControlReply::Ok { text: serde_json::to_string(&usage).expect("counts are plain data") }
        }
        Control::Describe => ControlReply::Ok { text: emulator.firmware().describe() },
    }
}

fn written(path: &Path, bytes: &[u8]) -> ControlReply {
    match replace(path, bytes) {
        Ok(()) => ControlReply::Ok { text: String::new() },
        Err(e) => ControlReply::Failed { cause: format!("cannot write {}: {e}", path.display()) },
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("partial");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}
