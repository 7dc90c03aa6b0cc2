//! A monitor of trust domains: it builds and runs them through the interface that KVM publishes for TDX
//! (`Documentation/virt/kvm/x86/intel-tdx.rst`), handles the exits that such a guest makes, and tears them down, also
//! half-way.
//!
//! It knows nothing of what runs in a TD: initial memory and entry points come from a [`TdPlan`](rig_wire::td::TdPlan).

mod abi;
mod attendant;
mod churn;
mod common;
mod cpus;
mod error;
mod memory;
mod running;
mod td;
mod vcpu;

pub use churn::Churner;
pub use error::MonitorError;
pub use running::Running;
pub use td::{Host, Stage, Td};
