//! Sums and differences with the flags that the CPU sets. Source: Intel SDM volume 1, section 3.4.3.1 "Status Flags".

/// A result and RFLAGS' arithmetic bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) value: u64,
    pub(crate) flags: u64,
}

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;

/// `a + b` in so many bytes (1, 2, 4 or 8).
pub(crate) fn add(a: u64, b: u64, bytes: u8) -> Sum {
    let (mask, sign) = width(bytes);
    let (a, b) = (a & mask, b & mask);
    let value = a.wrapping_add(b) & mask;
    flagged(value, sign, value < a, (a ^ b ^ value) & 0x10 != 0, !(a ^ b) & (a ^ value) & sign != 0)
}

/// `a - b` in so many bytes.
pub(crate) fn sub(a: u64, b: u64, bytes: u8) -> Sum {
    let (mask, sign) = width(bytes);
    let (a, b) = (a & mask, b & mask);
    let value = a.wrapping_sub(b) & mask;
    flagged(value, sign, a < b, (a ^ b ^ value) & 0x10 != 0, (a ^ b) & (a ^ value) & sign != 0)
}

/// All bits of a number of so many bytes, and its sign.
pub(crate) fn width(bytes: u8) -> (u64, u64) {
    let bits = u32::from(bytes) * 8;
    (u64::MAX >> (64 - bits), 1 << (bits - 1))
}

fn flagged(value: u64, sign: u64, carry: bool, half_carry: bool, overflow: bool) -> Sum {
    let bit = |on: bool, flag: u64| if on { flag } else { 0 };
    let even = (value as u8).count_ones().is_multiple_of(2);
    let flags = bit(carry, CF) | bit(even, PF) | bit(half_carry, AF) | bit(value == 0, ZF);
    Sum { value, flags: flags | bit(value & sign != 0, SF) | bit(overflow, OF) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_manual() {
        assert_eq!(add(1, 2, 4), Sum { value: 3, flags: PF });
        assert_eq!(add(0xffff_ffff, 1, 4), Sum { value: 0, flags: CF | PF | AF | ZF });
        assert_eq!(add(0x7fff_ffff, 1, 4), Sum { value: 0x8000_0000, flags: PF | AF | SF | OF });
        assert_eq!(sub(3, 3, 4), Sum { value: 0, flags: PF | ZF });
        assert_eq!(sub(0, 1, 4), Sum { value: 0xffff_ffff, flags: CF | PF | AF | SF });
        assert_eq!(sub(0x8000_0000, 1, 4), Sum { value: 0x7fff_ffff, flags: PF | AF | OF });
        assert_eq!(add(u64::MAX, 1, 8).value, 0);
        assert_eq!(add(0xff, 1, 1), Sum { value: 0, flags: CF | PF | AF | ZF });
    }

    /// Against the host's own instructions.
    #[test]
    fn the_hosts_cpu_agrees() {
        bolero::check!().with_iterations(5000).with_type::<(u32, u32)>().for_each(|(a, b)| {
            let (sum, carry) = a.overflowing_add(*b);
            let ours = add((*a).into(), (*b).into(), 4);
            let overflow = a.cast_signed().checked_add(b.cast_signed()).is_none();
            assert_eq!((ours.value, ours.flags & CF != 0), (sum.into(), carry));
            assert_eq!((ours.flags & OF != 0, ours.flags & SF != 0), (overflow, sum.cast_signed() < 0));
            let (difference, borrow) = a.overflowing_sub(*b);
            let ours = sub((*a).into(), (*b).into(), 4);
            let overflow = a.cast_signed().checked_sub(b.cast_signed()).is_none();
            assert_eq!((ours.value, ours.flags & CF != 0), (difference.into(), borrow));
            assert_eq!((ours.flags & OF != 0, ours.flags & ZF != 0), (overflow, a == b));
        });
    }
}
