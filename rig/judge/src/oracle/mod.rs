//! The invariants, one file each.
//!
//! A rule sees every event once, in order, with the past in the [`Tracker`]; it never sees the future and never keeps the
//! events. It reports its first breach and is then done.

mod ack_trail;
mod concurrency;
mod interrupts_off;
mod lead_only;
mod lockstep;
mod participation;
mod preservation;
mod progress;
mod quiet_kernel;
mod rule;
mod serial_loader;
mod stable_cpus;
mod stop_on_failure;
mod update_only;

pub(crate) use quiet_kernel::{is_report, is_unexpected};
pub(crate) use rule::Rule;

/// All rules, in the order of reports.
pub(crate) fn all() -> Vec<Box<dyn Rule>> {
    vec![
        Box::<participation::Participation>::default(),
        Box::<lockstep::Lockstep>::default(),
        Box::<lead_only::LeadOnly>::default(),
        Box::<update_only::UpdateOnly>::default(),
        Box::<interrupts_off::InterruptsOff>::default(),
        Box::<serial_loader::SerialLoader>::default(),
        Box::<progress::Progress>::default(),
        Box::<stop_on_failure::StopOnFailure>::default(),
        Box::<preservation::Preservation>::default(),
        Box::<concurrency::Concurrency>::default(),
        Box::<stable_cpus::StableCpus>::default(),
        Box::<quiet_kernel::QuietKernel>::default(),
    ]
}
