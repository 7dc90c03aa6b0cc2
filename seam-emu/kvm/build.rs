//! Says whether there is a KVM to run the tests on, so that without one they are listed as ignored, with the reason.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(no_kvm)");
    println!("cargo::rerun-if-changed=build.rs");
    // A file that is missing counts as changed, so a machine that gets a KVM later is looked at again.
    println!("cargo::rerun-if-changed=/dev/kvm");
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        println!("cargo::rustc-cfg=no_kvm");
        println!("cargo::warning=/dev/kvm: {error}; the tests on vCPUs are ignored and show nothing");
    }
}
