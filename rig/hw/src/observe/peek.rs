//! Reading the running kernel's own code by a probe: every kernel that can be observed at all has this, not every one has
//! `/proc/kcore`.

use super::code::{Point, points};
use super::probes::show_state;
use super::symbols::Symbols;
use super::trace;
use crate::facts::DEVICE;
use crate::host::Host;
use crate::tracefs::{GROUP, Tracefs};

/// Most bytes of a function that are looked at: four arrays of 64 words, which is what one probe can read.
const TEXT_MAX: u64 = 4 * 64 * 8;

/// Where the update's code is probed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The function.
    pub(super) function: String,
    /// Places in it.
    pub(super) points: Vec<Point>,
    /// `update_ctrl`'s address.
    pub(super) ctrl: u64,
    /// Why no place was found.
    pub(super) note: Option<String>,
}

/// Looks at the update's code for the places of probes. A probe that was needed for it is gone afterwards, or it is an error.
pub(super) fn find_points(host: &Host, tracefs: &Tracefs, symbols: &Symbols) -> Result<Found, String> {
    let nothing = |note: &str| Ok(Found { note: Some(note.into()), ..Found::default() });
    let Some(ctrl) = symbols.update_ctrl else {
        return nothing("no symbol update_ctrl (CONFIG_KALLSYMS_ALL): steps are seen by their SEAMCALLs only");
    };
    for (name, address, size) in &symbols.functions {
        let bytes = peek(host, tracefs, *address, (*size).min(TEXT_MAX));
        tracefs.remove_probes()?;
        let points = bytes.map(|bytes| points(&bytes, *address, ctrl)).unwrap_or_default();
        if show_state(&points) {
            return Ok(Found { function: name.clone(), points, ctrl, note: None });
        }
    }
    nothing("the code that acknowledges was not recognised: steps are seen by their SEAMCALLs only")
}

/// Bytes of the kernel; none where they cannot be read. Leaves its probe.
fn peek(host: &Host, tracefs: &Tracefs, address: u64, size: u64) -> Option<Vec<u8>> {
    let words = size.div_ceil(8);
    let arrays: Vec<String> = (0..words.div_ceil(64))
        .map(|n| format!("t{n}=@{:#x}:x64[{}]", address + n * 512, (words - n * 64).min(64)))
        .collect();
    tracefs.define(&[format!("p:{GROUP}/peek seamldr_get_info {}", arrays.join(" "))]).ok()?;
    tracefs.switch_events(true).ok()?;
    tracefs.write("trace", "").and_then(|()| tracefs.write("tracing_on", "1")).ok()?;
    // Whatever it answers: on the way the function was called.
    let _ = host.read(&format!("{DEVICE}/seamldr_version"));
    tracefs.write("tracing_on", "0").ok()?;
    let text = tracefs.trace().ok()?;
    let trace = trace::parse(&text);
    let line = trace.lines.iter().find(|line| line.event == "peek")?;
    let read: Vec<u64> = (0..arrays.len()).map(|n| line.array(&format!("t{n}"))).collect::<Option<Vec<_>>>()?.concat();
    let mut bytes: Vec<u8> = read.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(usize::try_from(size).ok()?);
    Some(bytes)
}
