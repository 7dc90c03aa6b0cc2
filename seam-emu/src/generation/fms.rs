//! Families, models and steppings whose CPUID a VMM may ask for (`ALLOWED_FMS`).

/// Known CPUs from the newest on, with their latest steppings: Clearwater Forest, Granite Rapids D and SP, Sierra Forest,
/// Emerald Rapids, Sapphire Rapids. Source: TDX module 1.5.05 `cpuid_fms.c`, `cpuid_fms.h`. 1.5.01 has stepping 0 of Sierra
/// Forest; what later modules have beyond Sapphire Rapids is unverified.
const KNOWN: [u32; 6] = [0xD_06D0, 0xA_06E0, 0xA_06D0, 0xA_06F3, 0xC_06F2, 0x8_06F8];
/// The stepping in CPUID leaf 1 EAX.
const STEPPING: u32 = 0xF;

/// The platform's own CPU with its stepping, then the older known ones. A module does not run on a CPU that it does not
/// know; here that CPU is the only one. Source: TDX module `get_allowed_fms`, `find_table_start`.
pub(crate) fn allowed_fms(platform: u32) -> impl Iterator<Item = u32> {
    let own = KNOWN.iter().position(|known| known & !STEPPING == platform & !STEPPING);
    let older = own.map_or(&[][..], |own| &KNOWN[own + 1..]);
    std::iter::once(platform).chain(older.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_may_be_itself_or_an_older_one() {
        let allowed = |fms| allowed_fms(fms).collect::<Vec<u32>>();
        assert_eq!(allowed(0x8_06F8), [0x8_06F8]);
        assert_eq!(allowed(0xC_06F1), [0xC_06F1, 0x8_06F8], "its own stepping, and the latest of others");
        assert_eq!(allowed(0xA_06D1), [0xA_06D1, 0xA_06F3, 0xC_06F2, 0x8_06F8]);
        assert_eq!(allowed(0x1_2345), [0x1_2345], "unknown");
    }
}
