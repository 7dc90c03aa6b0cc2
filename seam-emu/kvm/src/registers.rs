//! A vCPU's registers by the numbers that instructions use.

use kvm_bindings::kvm_regs;
use seam_emu::Regs;

/// RFLAGS.CF.
pub const CF: u64 = 1;
/// RFLAGS.IF.
pub const IF: u64 = 1 << 9;
/// CF, PF, AF, ZF, SF and OF.
pub const ARITHMETIC: u64 = 0x8d5;

/// The value of the 64-bit general register with this number (0 is RAX, 15 is R15). Panics above 15.
pub fn read(regs: &kvm_regs, number: u8) -> u64 {
    let all = [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8, regs.r9, regs.r10,
        regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    all[usize::from(number)]
}

/// Sets the 64-bit general register with this number. Panics above 15.
pub fn write(regs: &mut kvm_regs, number: u8, value: u64) {
    let register = match number {
        0 => &mut regs.rax,
        1 => &mut regs.rcx,
        2 => &mut regs.rdx,
        3 => &mut regs.rbx,
        4 => &mut regs.rsp,
        5 => &mut regs.rbp,
        6 => &mut regs.rsi,
        7 => &mut regs.rdi,
        8 => &mut regs.r8,
        9 => &mut regs.r9,
        10 => &mut regs.r10,
        11 => &mut regs.r11,
        12 => &mut regs.r12,
        13 => &mut regs.r13,
        14 => &mut regs.r14,
        15 => &mut regs.r15,
        _ => panic!("general registers have numbers up to 15, not {number}"),
    };
    *register = value;
}

/// The operands of a SEAMCALL.
pub fn operands(regs: &kvm_regs) -> Regs {
    let kvm_regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, .. } = *regs;
    Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 }
}

/// Puts the operands back; RSP, RBP, RIP and RFLAGS stay.
pub fn write_operands(regs: &mut kvm_regs, operands: &Regs) {
    let Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = *operands;
    *regs = kvm_regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, ..*regs };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_a_register_of_its_own() {
        let mut regs = kvm_regs::default();
        for number in 0..16 {
            write(&mut regs, number, 100 + u64::from(number));
        }
        for number in 0..16 {
            assert_eq!(read(&regs, number), 100 + u64::from(number));
        }
        // The order of an encoding is not that of the alphabet.
        assert_eq!((regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp), (100, 101, 102, 103, 104));
    }

    #[test]
    fn operands_come_back_and_the_rest_stays() {
        let mut regs = kvm_regs { rsp: 1, rbp: 2, rip: 3, rflags: 4, ..Default::default() };
        let operands = Regs { rax: 5, r15: 6, ..operands(&regs) };
        write_operands(&mut regs, &operands);
        assert_eq!(super::operands(&regs), operands);
        assert_eq!((regs.rsp, regs.rbp, regs.rip, regs.rflags), (1, 2, 3, 4));
    }
}
