//! Who knows QEMU's command line.

use crate::common::{architecture, library, none, one};
use tidy::allowed::{Allowed, AllowedQemu};
use tidy::check::qemu_arguments;
use tidy::violation::Violation;

fn check(path: &str, text: &str, allowed: &[AllowedQemu]) -> Vec<Violation> {
    qemu_arguments(&library(&[(path, text)]), &architecture(), allowed)
}

fn allowed() -> Vec<AllowedQemu> {
    let entry = "[[qemu]]\npath = \"src/lib.rs\"\narguments = [\"cpu\"]\nreason = \"r\"";
    Allowed::parse(entry).unwrap().qemu
}

#[test]
fn the_machines_own_folder_may_name_them_and_others_may_name_other_programs() {
    none(&check("src/machine/line.rs", r#"const A: &str = "-smp";"#, &[]));
    let others = r#"/// -smp
    fn f() { run("-c", "-m", "a -smp", "--machine", "-devices") }"#;
    none(&check("src/lib.rs", others, &[]));
}

#[test]
fn an_argument_elsewhere_is_found() {
    one(&check("src/lib.rs", r#"const A: &str = "-smp";"#, &[]), &["src/lib.rs:1", "QEMU's -smp"]);
    one(&check("src/lib.rs", r#"fn f() { format!("-device {x}") }"#, &[]), &["QEMU's -device"]);
    one(&check("src/machinery.rs", r#"const A: &str = "-icount shift=1";"#, &[]), &["QEMU's -icount"]);
}

#[test]
fn a_listed_argument_is_no_fault_and_another_one_is() {
    none(&check("src/lib.rs", r#"const A: &str = "-cpu host";"#, &allowed()));
    let two = check("src/lib.rs", r#"const A: [&str; 2] = ["-cpu host", "-smp 2"];"#, &allowed());
    one(&two, &["QEMU's -smp"]);
    one(&check("src/lib.rs", "", &allowed()), &["names no -cpu any more"]);
}
