//! The update's section of the real kernel, `do_seamldr_install_module()` of the rig's vmlinux, on vCPUs of the KVM
//! API.
//!
//! There is no machine around it: guest memory has the kernel's image, page tables and a stack for each vCPU, and each
//! vCPU begins at the function's entry with interrupts off, as `multi_cpu_stop()` would call it. It runs at CPL 3 with
//! IOPL 3, since a KVM that is implemented in software executes level 3 itself and interprets level 0; SEAMCALLs count
//! as made at level 0.
//!
//! Without a KVM that can be opened these tests are listed as ignored (`build.rs`).

#[path = "../harness/mod.rs"]
mod harness;

mod faults;
mod holds;
mod kernel_sites;
mod kicks;
mod twins;
mod unknown;
mod updates;
mod vmx;
