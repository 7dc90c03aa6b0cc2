//! Accesses to watched words, and what they do to registers and to memory. Pure.

use crate::arithmetic::{add, sub, width};
use crate::registers::{self, ARITHMETIC};
use kvm_bindings::kvm_regs;

/// An instruction that accesses a watched word at an address that is part of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Index of the watch.
    pub watch: usize,
    /// Guest virtual address of the word.
    pub address: u64,
    /// Bytes that are accessed: 4 or 8.
    pub size: u8,
    /// What is done.
    pub effect: Effect,
}

/// What an access does. Registers are numbers of general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The register gets the word.
    Load(u8),
    /// The word gets the operand.
    Store(Operand),
    /// The register gets its sum with the word, which is read.
    AddTo(u8),
    /// The word gets its sum with the operand.
    Add(Operand),
    /// The word gets its difference with the operand.
    Subtract(Operand),
    /// The word gets its successor; CF stays.
    Increment,
    /// The word gets its predecessor; CF stays.
    Decrement,
    /// The word and the operand are compared: flags of the word less the operand.
    Compare(Operand),
    /// The register and the word are compared: flags of the register less the word.
    CompareTo(u8),
    /// The word gets its sum with the register, and the register the word from before.
    ExchangeAdd(u8),
    /// The word and the register are exchanged.
    Exchange(u8),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A general register.
    Register(u8),
    /// The instruction, sign-extended.
    Immediate(u64),
}

impl Effect {
    /// The word is read.
    pub fn loads(&self) -> bool {
        !matches!(self, Self::Store(_))
    }

    /// The word is written.
    pub fn stores(&self) -> bool {
        !matches!(self, Self::Load(_) | Self::AddTo(_) | Self::Compare(_) | Self::CompareTo(_))
    }
}

impl Access {
    /// Carries it out on the registers; `word` is the word's value where [`Effect::loads`], else anything. Returns the
    /// word's new value where [`Effect::stores`].
    pub fn apply(&self, regs: &mut kvm_regs, word: u64) -> Option<u64> {
        let word = word & width(self.size).0;
        match self.effect {
            Effect::Load(to) => self.set(regs, to, word),
            Effect::Store(from) => return Some(self.value(regs, from)),
            Effect::AddTo(to) => {
                let sum = add(registers::read(regs, to), word, self.size);
                flag(regs, sum.flags, ARITHMETIC);
                self.set(regs, to, sum.value);
            }
            Effect::Add(operand) => {
                let sum = add(word, self.value(regs, operand), self.size);
                flag(regs, sum.flags, ARITHMETIC);
                return Some(sum.value);
            }
            Effect::Subtract(operand) => {
                let difference = sub(word, self.value(regs, operand), self.size);
                flag(regs, difference.flags, ARITHMETIC);
                return Some(difference.value);
            }
            Effect::Increment | Effect::Decrement => {
                let by_one = if self.effect == Effect::Increment { add } else { sub };
                let result = by_one(word, 1, self.size);
                flag(regs, result.flags, ARITHMETIC & !registers::CF);
                return Some(result.value);
            }
            Effect::Compare(operand) => {
                let difference = sub(word, self.value(regs, operand), self.size);
                flag(regs, difference.flags, ARITHMETIC);
            }
            Effect::CompareTo(register) => {
                let difference = sub(registers::read(regs, register), word, self.size);
                flag(regs, difference.flags, ARITHMETIC);
            }
            Effect::ExchangeAdd(register) => {
                let sum = add(word, registers::read(regs, register), self.size);
                flag(regs, sum.flags, ARITHMETIC);
                self.set(regs, register, word);
                return Some(sum.value);
            }
            Effect::Exchange(register) => {
                let value = self.value(regs, Operand::Register(register));
                self.set(regs, register, word);
                return Some(value);
            }
        }
        None
    }

    fn value(&self, regs: &kvm_regs, operand: Operand) -> u64 {
        let value = match operand {
            Operand::Register(number) => registers::read(regs, number),
            Operand::Immediate(value) => value,
        };
        value & width(self.size).0
    }

    /// A write of 4 bytes clears the upper half (Intel SDM volume 1, section 3.4.1.1), and is never narrower here.
    fn set(&self, regs: &mut kvm_regs, number: u8, value: u64) {
        registers::write(regs, number, value & width(self.size).0);
    }
}

fn flag(regs: &mut kvm_regs, flags: u64, which: u64) {
    regs.rflags = regs.rflags & !which | flags & which;
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAX: u8 = 0;
    const ZF: u64 = 1 << 6;

    fn apply(effect: Effect, rax: u64, word: u64) -> (u64, Option<u64>, u64) {
        let mut regs = kvm_regs { rax, rflags: registers::CF | registers::IF, ..Default::default() };
        let stored = Access { watch: 0, address: 0, size: 4, effect }.apply(&mut regs, word);
        assert_ne!(regs.rflags & registers::IF, 0, "only arithmetic flags change");
        (regs.rax, stored, regs.rflags & ARITHMETIC)
    }

    #[test]
    fn each_effect_is_the_instructions_own() {
        let one = Operand::Immediate(1);
        let (unchanged, high) = (registers::CF, 0xffff_ffff_0000_0000);
        let table = [
            (Effect::Load(RAX), high | 7, 9, (9, None, unchanged)),
            (Effect::Store(Operand::Register(RAX)), high | 7, 9, (high | 7, Some(7), unchanged)),
            (Effect::Store(Operand::Immediate(u64::MAX)), 7, 9, (7, Some(0xffff_ffff), unchanged)),
            (Effect::AddTo(RAX), high | 1, 2, (3, None, 4)),
            (Effect::Add(one), 7, 1, (7, Some(2), 0)),
            (Effect::Subtract(one), 7, 1, (7, Some(0), 4 | ZF)),
            (Effect::Increment, 7, 0xffff_ffff, (7, Some(0), unchanged | 4 | 0x10 | ZF)),
            (Effect::Decrement, 7, 2, (7, Some(1), unchanged)),
            (Effect::Compare(one), 7, 1, (7, None, 4 | ZF)),
            (Effect::CompareTo(RAX), 7, 7, (7, None, 4 | ZF)),
            (Effect::ExchangeAdd(RAX), high | 1, 2, (2, Some(3), 4)),
            (Effect::Exchange(RAX), high | 1, 2, (2, Some(1), unchanged)),
        ];
        for (effect, rax, word, expected) in table {
            assert_eq!(apply(effect, rax, word), expected, "{effect:?}");
        }
    }

    #[test]
    fn an_access_says_whether_it_reads_and_writes() {
        assert!(!Effect::Store(Operand::Register(RAX)).loads() && Effect::Store(Operand::Register(RAX)).stores());
        assert!(Effect::Load(RAX).loads() && !Effect::Load(RAX).stores());
        assert!(Effect::Increment.loads() && Effect::Increment.stores());
    }
}
