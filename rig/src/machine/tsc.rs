//! How fast this host's time-stamp counter runs, which the guest of a machine with the parallel clock reads as its own.

use quanta::Clock;
use raw_cpuid::CpuId;

/// Cycles whose time is asked for: many, so that rounding to nanoseconds is lost in them.
const CYCLES: u64 = 1_000_000_000_000;

/// Its frequency in kHz, measured against the host's clock for up to 200 ms; `None` where the counter may stop or change its
/// pace.
pub fn khz() -> Option<u32> {
    let power = CpuId::new().get_advanced_power_mgmt_info();
    if !power.is_some_and(|power| power.has_invariant_tsc()) {
        return None;
    }
    let ns = Clock::new().delta_as_nanos(0, CYCLES);
    u32::try_from(CYCLES.checked_mul(1_000_000)?.checked_div(ns)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_runs_at_some_gigahertz_where_it_is_invariant() {
        // Nothing to compare with where it is not: then nothing may be said.
        let plausible = 400_000..8_000_000;
        assert!(khz().is_none_or(|khz| plausible.contains(&khz)), "{:?}", khz());
    }
}
