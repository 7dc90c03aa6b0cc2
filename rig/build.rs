//! The catalogue is built into the rig; a changed scenario makes a new one.

fn main() {
    println!("cargo::rerun-if-changed=../tests/scenarios");
}
