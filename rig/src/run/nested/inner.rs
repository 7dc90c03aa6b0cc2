//! What the rig in the outer machine said, as checks of the outer verdict.

use rig_judge::Invariant;
use rig_judge::verdict::Check;
use rig_wire::agent::Executed;
use serde_json::Value;

/// Whether the doctor in the outer machine finds a KVM that works.
pub(super) fn doctor(executed: &Executed) -> Check {
    let said: Value = serde_json::from_slice(&executed.stdout).unwrap_or_default();
    let seen = said["backend"].as_str().unwrap_or("no answer").to_owned();
    Check { name: "rig doctor: backend".into(), met: seen == "kvm", expected: "kvm".into(), seen }
}

/// The verdict of a run in the outer machine. One that did not use KVM proves nothing.
pub(super) fn judged(name: &str, executed: &Executed) -> Check {
    let verdict: Value = serde_json::from_slice(&executed.stdout).unwrap_or_default();
    let words = || String::from_utf8_lossy(&executed.stderr).lines().last().unwrap_or("it said nothing").to_owned();
    let outcome = verdict["verdict"].as_str().map_or_else(words, str::to_owned);
    let backend = verdict["backend"]["name"].as_str().unwrap_or("nothing");
    let reason = verdict["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    let (expected, seen) = ("passed on kvm".to_owned(), format!("{outcome} on {backend}{reason}"));
    Check { name: name.to_owned(), met: seen == expected, expected, seen }
}

/// Whether all of these invariants were held in a run in the outer machine. A pass alone says only that none was broken.
pub(super) fn held(name: &str, demanded: &[Invariant], executed: &Executed) -> Check {
    let verdict: Value = serde_json::from_slice(&executed.stdout).unwrap_or_default();
    let is_held = |invariant: &Invariant| verdict["invariants"][invariant.name()] == "held";
    let names = |of: Vec<Invariant>| of.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
    let expected = Invariant::ALL.into_iter().filter(|one| demanded.contains(one)).collect();
    let seen = Invariant::ALL.into_iter().filter(is_held).collect();
    Check {
        name: format!("{name}: held"),
        met: demanded.iter().all(is_held),
        expected: names(expected),
        seen: names(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(stdout: &str) -> Executed {
        Executed { code: 0, stdout: stdout.into(), stderr: b"error: no such thing\n".to_vec() }
    }

    #[test]
    fn only_a_pass_on_kvm_is_one() {
        let pass = r#"{"verdict":"passed","backend":{"name":"kvm"}}"#;
        assert!(judged("x", &ran(pass)).met);
        assert!(!judged("x", &ran(&pass.replace("kvm", "tcg"))).met);
        assert!(!judged("x", &ran(&pass.replace("passed", "failed"))).met);
        assert_eq!(judged("x", &ran("")).seen, "error: no such thing on nothing");
    }

    #[test]
    fn a_demanded_invariant_must_be_held_in_the_inner_verdict() {
        let said = r#"{"invariants":{"lockstep":"held","progress":"held","concurrency":"not-applicable"}}"#;
        let check = |demanded: &[Invariant]| held("x", demanded, &ran(said));
        assert!(check(&[Invariant::Progress, Invariant::Lockstep]).met);
        assert_eq!(check(&[]).seen, "lockstep, progress");
        let unseen = check(&[Invariant::Lockstep, Invariant::Concurrency]);
        assert!(!unseen.met && unseen.expected == "lockstep, concurrency");
        assert!(!held("x", &[Invariant::Lockstep], &ran("")).met);
    }

    #[test]
    fn the_doctor_must_find_kvm() {
        assert!(doctor(&ran(r#"{"backend":"kvm"}"#)).met);
        assert!(!doctor(&ran(r#"{"backend":"tcg"}"#)).met && !doctor(&ran("")).met);
    }
}
