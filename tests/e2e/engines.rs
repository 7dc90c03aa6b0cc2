//! Which requirements on an update each engine meets.

use rig_tests::{Rig, take_host};
use serde_json::{Value, json};

/// Only machines under load show that the lock of one engine cannot direct a CPU, that the two others keep only those out who
/// take part, and that `stop_machine` has neither fault.
#[test]
fn only_stop_machine_meets_all_requirements() {
    let _host = take_host();
    let comparison = Rig::default().go(&["engines", "--json"]).json(0);
    let engines = comparison["engines"].as_array().unwrap();
    let of = |name: &str| -> Vec<&str> {
        let row =
            engines.iter().find(|row| row["scenario"] == name).unwrap_or_else(|| panic!("{name}: {comparison:#}"));
        row["requirements"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    };
    assert_eq!(of("engine-stop-machine"), ["held"; 5], "{comparison:#}");
    // The update never reaches the end up to which no other CPU may call, so it is not known whether one did.
    assert_eq!(of("engine-rwlock")[..4], ["held", "held", "not-applicable", "broken"], "{comparison:#}");
    assert_eq!(of("engine-kick")[..3], ["held", "held", "broken"], "{comparison:#}");
    assert_eq!(of("engine-kick-guests")[2..], ["held"; 3], "{comparison:#}");
    assert_eq!(of("engine-notifier")[..3], ["held", "held", "broken"], "{comparison:#}");
    // It has no acknowledgements, of which the last requirement speaks.
    assert_eq!(of("engine-notifier-guests")[2..], ["held", "held", "not-applicable"], "{comparison:#}");
    assert_eq!(comparison["exit_code"], json!(0));
}
