//! Which MSRs and ports a TD reaches without an exit. Source: APM 15.10 (I/O) and 15.11 (MSRs).

/// Bytes of the MSR permission map: two pages.
pub const MSRPM_SIZE: usize = 0x2000;
/// Bytes of the I/O permission map: three pages. All ports exit.
pub const IOPM_SIZE: usize = 0x3000;

/// MSRs that belong to the TD alone, since VMLOAD and VMSAVE switch them (APM 15.5.2): SYSENTER's three, STAR, LSTAR, CSTAR,
/// SFMASK, and the bases of FS, GS and the kernel's GS. The stub switches the last, `TSC_AUX`.
const OWN: [u32; 11] = [
    0x174,
    0x175,
    0x176,
    0xC000_0081,
    0xC000_0082,
    0xC000_0083,
    0xC000_0084,
    0xC000_0100,
    0xC000_0101,
    0xC000_0102,
    0xC000_0103,
];
/// The time-stamp counter, which a TD reads as it is and does not write. TCG reads it as 0 (`helper_rdmsr()`); RDTSC tells it.
const TIME_STAMP_COUNTER: u32 = 0x10;

/// The map: two bits for each MSR, read and write, set where the access exits.
pub fn msrpm() -> Vec<u8> {
    let mut map = vec![0xFF; MSRPM_SIZE];
    for (msr, open) in OWN.map(|msr| (msr, 0b11)).into_iter().chain([(TIME_STAMP_COUNTER, 0b01)]) {
        let bit = bit(msr);
        map[bit / 8] &= !(open << (bit % 8));
    }
    map
}

/// Number of an MSR's first bit: three ranges of 8192 MSRs follow one another, each 0x800 bytes long.
const fn bit(msr: u32) -> usize {
    let place = match msr {
        0xC000_0000..=0xC000_1FFF => msr - 0xC000_0000 + 8192,
        0xC001_0000..=0xC001_1FFF => msr - 0xC001_0000 + 2 * 8192,
        other => other,
    };
    place as usize * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_switched_is_reached() {
        let map = msrpm();
        let exits = |msr| map[bit(msr) / 8] >> (bit(msr) % 8) & 0b11;
        for msr in OWN {
            assert_eq!(exits(msr), 0, "{msr:#x}");
        }
        assert_eq!(exits(TIME_STAMP_COUNTER), 0b10);
        for msr in [0x11, 0x1B, 0x173, 0x177, 0xC000_0080, 0xC000_0104, 0xC001_0114, 0xC001_0117] {
            assert_eq!(exits(msr), 0b11, "{msr:#x}");
        }
        let open: u32 = map.iter().map(|byte| byte.count_zeros()).sum();
        assert_eq!(open, 2 * OWN.len() as u32 + 1);
    }

    #[test]
    fn the_ranges_lie_where_the_manual_has_them() {
        assert_eq!([0, 0xC000_0000, 0xC001_0000].map(bit), [0, 0x800 * 8, 0x1000 * 8]);
    }
}
