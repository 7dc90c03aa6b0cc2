//! Certificates, which are compared with a proof that is made again.

use crate::trouble::Trouble;
use rig_interleave::report::Report;
use rig_interleave::{InitialState, Request};
use serde_json::Value;
use std::path::Path;

/// What a file says was proved.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// What was asked for.
    pub(crate) request: Request,
    says: Value,
}

/// What may differ between two proofs of the same: the program, and what its tables took.
const NOT_COMPARED: [&str; 3] = ["tool", "table_bytes", "request"];
/// And where two machines booted: the addresses of what they allocated, and with them registers, and the way a counterexample
/// is told.
const NOT_COMPARED_OF_MACHINES: [&str; 3] = ["initial_state", "shared", "finding"];

impl Certificate {
    /// Reads a file that `--out` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let text = std::fs::read(path).map_err(|error| Trouble::file("read", path, &error))?;
        let bad = |error: serde_json::Error| {
            let cause = format!("{} is no certificate: {error}", path.display());
            Trouble::usage(cause, "give a file that `rig prove --out` wrote with this version of the rig")
        };
        let says: Value = serde_json::from_slice(&text).map_err(bad)?;
        let request = says.get("request").cloned().unwrap_or_default();
        let request: Request = serde_json::from_value(request).map_err(bad)?;
        if !(1..=8).contains(&request.cpus) {
            let cause = format!("{} is about {} CPUs", path.display(), request.cpus);
            return Err(Trouble::usage(cause, "certificates are about 1 to 8 CPUs"));
        }
        Ok(Self { request, says })
    }
}

/// What the certificate says otherwise than the proof that was made now.
pub(crate) fn differences(certificate: &Certificate, report: &Report) -> Vec<String> {
    let made = serde_json::to_value(report).expect("a report is plain data");
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut all = keys(&certificate.says);
    all.extend(keys(&made));
    all.sort();
    all.dedup();
    let of_machine = certificate.request.state == InitialState::Machine;
    let is_compared =
        |key: &str| !(NOT_COMPARED.contains(&key) || of_machine && NOT_COMPARED_OF_MACHINES.contains(&key));
    let differs = |key: &&String| is_compared(key) && certificate.says.get(*key) != made.get(*key);
    let short = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(value @ (Value::Object(_) | Value::Array(_))) if value.to_string().len() > 100 => "another list".into(),
        Some(value) => value.to_string(),
    };
    let line = |key: &String| {
        format!("{key}: {} in the certificate, {} now", short(certificate.says.get(key)), short(made.get(key)))
    };
    all.iter().filter(differs).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_the_callers_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = dir.path().join("file");
            std::fs::write(&path, text).unwrap();
            Certificate::read(&path)
        };
        assert!(read("text").unwrap_err().cause.contains("no certificate"));
        assert!(read("{}").unwrap_err().cause.contains("no certificate"));
        let request = serde_json::to_value(Request { cpus: 9, ..Request::default() }).unwrap();
        let text = serde_json::json!({ "request": request }).to_string();
        assert!(read(&text).unwrap_err().cause.contains("9 CPUs"));
    }
}
