//! From a load's description to what each of its threads repeats.

use super::place::Place;
use super::work::{Step, Work, repeat};
use super::{
    arrival, clocksource, hotplug, memory, module_loop, pressure, reader, seamcall, text_patching, timer, trust_domain,
};
use crate::failure;
use rig_wire::agent::{Failure, Load};
use std::hint::black_box;

/// Rounds of arithmetic that make one operation of a CPU hog: long against a look at the stop flag.
const HOG_ROUNDS: u32 = 1 << 16;

/// The load's name in its report.
pub(super) fn name(load: &Load) -> &'static str {
    match load {
        Load::CpuHog { .. } => "cpu-hog",
        Load::Reader { .. } => "reader",
        Load::Hotplug { .. } => "hotplug",
        Load::CpuArrival {} => "cpu-arrival",
        Load::Clocksource { .. } => "clocksource",
        Load::ModuleLoop { .. } => "module-loop",
        Load::TextPatching { .. } => "text-patching",
        Load::MemoryPressure { .. } => "memory-pressure",
        Load::PageFault { .. } => "page-fault",
        Load::Timer { .. } => "timer",
        Load::Seamcall { .. } => "seamcall",
        Load::TrustDomain { .. } => "trust-domain",
    }
}

/// What the load does on this machine.
pub(super) fn work(load: &Load, place: &Place) -> Result<Work, Failure> {
    match load {
        Load::Seamcall { .. } => seamcall::work(load),
        Load::TrustDomain { .. } => trust_domain::work(load),
        _ => Ok(Work { steps: steps(load, place)?, finish: None }),
    }
}

/// One step for each thread, for loads that are nothing else.
fn steps(load: &Load, place: &Place) -> Result<Vec<Step>, Failure> {
    match load {
        Load::CpuHog { threads } => Ok(repeat(*threads, || Box::new(hog))),
        Load::Reader { paths, threads, only } => reader::steps(paths, *threads, only),
        Load::Hotplug { pause_ms, between_updates } => hotplug::steps(place, *pause_ms, *between_updates),
        Load::CpuArrival {} => arrival::steps(),
        Load::Clocksource { pause_ms } => clocksource::steps(&place.machine, *pause_ms),
        Load::ModuleLoop { pause_ms } => Ok(module_loop::steps(*pause_ms)),
        Load::TextPatching { pause_ms } => text_patching::steps(*pause_ms),
        Load::MemoryPressure { leave_mib } => pressure::steps(*leave_mib),
        Load::PageFault { threads, kib: 0 } => {
            Err(failure::refused(libc::EINVAL, format_args!("{threads} page-fault threads with mappings of 0 KiB")))
        }
        Load::PageFault { threads, kib } => {
            let kib = *kib;
            Ok(repeat(*threads, || Box::new(move || memory::map_touch_unmap(kib))))
        }
        Load::Timer { period_us } => timer::steps(*period_us),
        Load::Seamcall { .. } | Load::TrustDomain { .. } => unreachable!("work() takes them"),
    }
}

/// Computes without sleeping.
#[expect(clippy::unnecessary_wraps, reason = "a step may fail; this one cannot")]
fn hog() -> Result<u64, String> {
    let mut state = black_box(1u64);
    for _ in 0..HOG_ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_step() {
        assert_eq!(steps(&Load::CpuHog { threads: 3 }, &Place::default()).unwrap().len(), 3);
        let reader =
            Load::Reader { paths: vec!["/proc/version".into(), "/proc/stat".into()], threads: 2, only: Vec::new() };
        assert_eq!(steps(&reader, &Place::default()).unwrap().len(), 4);
    }

    #[test]
    fn cannot_describe_an_impossible_load() {
        let outside = Load::Reader { paths: vec!["/etc/passwd".into()], threads: 1, only: Vec::new() };
        for load in [Load::PageFault { threads: 1, kib: 0 }, Load::Timer { period_us: 0 }, outside] {
            assert!(steps(&load, &Place::default()).is_err(), "{load:?}");
        }
    }
}
