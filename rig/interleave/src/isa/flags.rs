//! Results and flags of arithmetic, as pure functions. Operands have `size` bytes and no bits above.

use super::registers::flag::{AF, CF, OF, PF, SF, ZF};
use crate::image::mask;

/// Sign-extends the lower `size` bytes.
pub(super) fn sign_extend(value: u64, size: u8) -> u64 {
    let shift = 64 - u32::from(size.min(8)) * 8;
    (((value << shift).cast_signed()) >> shift).cast_unsigned()
}

/// The top bit of `size` bytes.
pub(super) fn sign(value: u64, size: u8) -> bool {
    value >> (u32::from(size) * 8 - 1) & 1 == 1
}

fn when(condition: bool, bit: u8) -> u8 {
    if condition { bit } else { 0 }
}

/// SF, ZF and PF of a result.
pub(super) fn of_result(value: u64, size: u8) -> u8 {
    let value = value & mask(size);
    let even = (value & 0xff).count_ones().is_multiple_of(2);
    when(value == 0, ZF) | when(sign(value, size), SF) | when(even, PF)
}

/// `a + b` and its flags.
pub(super) fn add(a: u64, b: u64, size: u8) -> (u64, u8) {
    let wide = u128::from(a) + u128::from(b);
    let result = (wide as u64) & mask(size);
    let carry = wide >> (u32::from(size) * 8) & 1 == 1;
    let overflow = sign((a ^ result) & (b ^ result), size);
    (result, of_result(result, size) | when(carry, CF) | when(overflow, OF) | when((a ^ b ^ result) & 16 != 0, AF))
}

/// `a - b` and its flags.
pub(super) fn sub(a: u64, b: u64, size: u8) -> (u64, u8) {
    let result = a.wrapping_sub(b) & mask(size);
    let overflow = sign((a ^ b) & (a ^ result), size);
    (result, of_result(result, size) | when(a < b, CF) | when(overflow, OF) | when((a ^ b ^ result) & 16 != 0, AF))
}

/// How a shift fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// `a` shifted by `count`, which is not zero and less than 64. OF is defined for a count of 1 only, AF never.
pub(super) fn shift(kind: Shift, a: u64, count: u32, size: u8) -> (u64, u8) {
    let bits = u32::from(size) * 8;
    let (result, carry) = match kind {
        Shift::Left => ((u128::from(a) << count) as u64 & mask(size), count <= bits && a >> (bits - count) & 1 == 1),
        Shift::Right => (a >> count, a >> (count - 1) & 1 == 1),
        Shift::Arithmetic => {
            let wide = sign_extend(a, size).cast_signed();
            ((wide >> count).cast_unsigned() & mask(size), wide >> (count - 1) & 1 == 1)
        }
    };
    let overflow = match kind {
        Shift::Left => sign(result, size) != carry,
        Shift::Right => sign(a, size),
        Shift::Arithmetic => false,
    };
    (result, of_result(result, size) | when(carry, CF) | when(overflow, OF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Cases worked out by hand from Intel SDM volume 1, appendix A.
    #[rstest]
    #[case(0xff, 1, 1, 0, CF | ZF | PF | AF)]
    #[case(0x7f, 1, 1, 0x80, OF | SF | AF)]
    #[case(0x8000_0000, 0x8000_0000, 4, 0, CF | OF | ZF | PF)]
    #[case(u64::MAX, u64::MAX, 8, u64::MAX - 1, CF | SF | AF)]
    #[case(1, 2, 4, 3, PF)]
    fn sums(#[case] a: u64, #[case] b: u64, #[case] size: u8, #[case] result: u64, #[case] flags: u8) {
        assert_eq!(add(a, b, size), (result, flags));
    }

    #[rstest]
    #[case(0, 1, 4, 0xffff_ffff, CF | SF | PF | AF)]
    #[case(0x80, 1, 1, 0x7f, OF | AF)]
    #[case(5, 5, 8, 0, ZF | PF)]
    fn differences(#[case] a: u64, #[case] b: u64, #[case] size: u8, #[case] result: u64, #[case] flags: u8) {
        assert_eq!(sub(a, b, size), (result, flags));
    }

    #[rstest]
    #[case(Shift::Left, 0x81, 1, 1, 2, CF | OF)]
    #[case(Shift::Right, 0x81, 1, 1, 0x40, CF | OF)]
    #[case(Shift::Arithmetic, 0x81, 1, 1, 0xc0, CF | SF | PF)]
    #[case(Shift::Left, 1, 31, 4, 0x8000_0000, SF | OF | PF)]
    fn shifts(
        #[case] kind: Shift,
        #[case] a: u64,
        #[case] count: u32,
        #[case] size: u8,
        #[case] result: u64,
        #[case] flags: u8,
    ) {
        assert_eq!(shift(kind, a, count, size), (result, flags));
    }
}
