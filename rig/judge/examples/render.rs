//! Writes the reports of a run folder anew, `report.html` and `trace.pftrace` among them:
//! `cargo run -p rig-judge --example render -- RUN_FOLDER OUT_FOLDER`.

use rig_judge::Verdict;
use rig_judge::report::files;
use rig_judge::timeline::EventsReader;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [run, out] = arguments.as_slice() else { return Err("usage: render RUN_FOLDER OUT_FOLDER".into()) };
    let verdict: Verdict = serde_json::from_slice(&std::fs::read(run.join("verdict.json"))?)?;
    let console = std::fs::read_to_string(run.join("kmsg.log"))?;
    let lines: Vec<String> = console.lines().map(str::to_string).collect();
    let reader = EventsReader::open(&run.join("events.bin"))?;
    let setup = reader.setup().clone();
    std::fs::create_dir_all(out)?;
    for (name, bytes) in files(&setup, reader.map_while(Result::ok), &lines, &verdict) {
        std::fs::write(out.join(name), bytes)?;
    }
    Ok(())
}
