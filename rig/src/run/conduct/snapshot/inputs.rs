//! Hashes of all that decides how a guest boots, and of all that decides a run.

use super::boot_config::boot_config;
use super::note::FORM;
use super::saved::Snapshot;
use crate::file_hash::sha256_of_file;
use crate::run::prepare::prepared::Prepared;
use crate::trouble::Trouble;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The same without what hosts that explore together do not share, and with the judge.
pub(crate) fn explored(made_of: &Value) -> Result<Value, Trouble> {
    let mut all = made_of.clone();
    all.as_object_mut().expect("hashes have names").remove("snapshot");
    all["rig"] = json!(sha256_of_file(&own_program()?)?);
    Ok(all)
}

/// Hashes of all that decides a deterministic run, by name.
pub(crate) fn made_of(prepared: &Prepared, snapshot: Option<&Snapshot>) -> Result<Value, Trouble> {
    let mut all = inputs(prepared)?;
    if let Some(snapshot) = snapshot {
        all["snapshot"] = json!(snapshot.note.digest);
    }
    // Faults of updates are no part of a snapshot's inputs, but of a run's.
    all["firmware"] = json!(prepared.machine().plan.firmware);
    Ok(all)
}

/// All that decides how a guest boots, and so the snapshot's address.
pub(crate) fn inputs(prepared: &Prepared) -> Result<Value, Trouble> {
    let spec = &prepared.machine().spec;
    let emulator = match &spec.plugin {
        Some((library, _)) => sha256_of_file(library)?,
        // It is a part of this program; and a CPU that is the host's is saved as that.
        None => sha256_of_file(&own_program()?)? + &host_cpu(),
    };
    let mut qemu: Vec<_> =
        prepared.description().artifacts.iter().filter(|a| a.path.is_none()).map(|a| &a.sha256).collect();
    // They are found by threads side by side, in any order.
    qemu.sort_unstable();
    let own = prepared.machine().own_qemu.as_deref().map(sha256_of_file).transpose()?;
    let plan = &prepared.machine().plan;
    Ok(json!({
        "form": FORM,
        "machine": spec.shape(),
        "kernel": sha256_of_file(&spec.kernel)?,
        "initramfs": sha256_of_file(&spec.initramfs)?,
        "plugin": emulator,
        "qemu": if own.is_some() { json!(own) } else { json!(qemu) },
        "modules": prepared.subject().modules.iter().map(|m| [&m.name, &m.parameters]).collect::<Vec<_>>(),
        "firmware": boot_config(&plan.firmware),
        "module_image": sha256_of_file(&plan.module_image)?,
        "vmx_basic": plan.seamret_keeps_vmcs,
        "deterministic": plan.deterministic,
        // They decide what the boot's events show.
        "watches": plan.watches,
        "functions": plan.functions,
    }))
}

fn own_program() -> Result<PathBuf, Trouble> {
    let help = "start the rig from a folder that is still there";
    std::env::current_exe().map_err(|e| Trouble::environment(format!("cannot find the rig's own program: {e}"), help))
}

/// What the host's kernel says of its first CPU, without what changes from moment to moment.
fn host_cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lasting = ["vendor_id", "cpu family", "model", "stepping", "flags"];
    let first = text.split("\n\n").next().unwrap_or_default();
    first.lines().filter(|line| lasting.iter().any(|key| line.starts_with(key))).collect()
}
