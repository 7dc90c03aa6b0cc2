//! Executes each instruction of a log from the registers that QEMU had before it, and compares with what QEMU had after it.
//!
//! QEMU 11.1 computes arithmetic flags when they are used, and shows plugins none of them but the interrupt flag. So the flags are
//! those of the interpreter's own results, from one instruction to the next, and are compared where they have an effect: in jumps,
//! `SETcc`, `CMOVcc` and PUSHF.

use super::erring::Erring;
use iced_x86::{Instruction, Mnemonic};
use rig_interleave::image::{ElfImage, Source};
use rig_interleave::isa::{Access, Bus, Next, Registers, decode, execute, flag, gpr};
use rig_wire::instructions::{LOGGED_GS_BASE, LOGGED_REGISTERS, LOGGED_RFLAGS, Logged};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// RFLAGS.IF.
const RFLAGS_IF: u64 = 1 << 9;
/// Bits of RFLAGS, by those of [`flag`].
const PLACES: [(u8, u32); 6] =
    [(flag::CF, 0), (flag::PF, 2), (flag::AF, 4), (flag::ZF, 6), (flag::SF, 7), (flag::OF, 11)];
/// Registers in which a SEAMCALL has results (Linux's `tdxcall.S`).
const RESULTS: [usize; 7] = [gpr::RAX, gpr::RCX, gpr::RDX, gpr::R8, gpr::R9, gpr::R10, gpr::R11];
/// Differences that are described.
const MOST: usize = 10;

/// One access of QEMU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    address: u64,
    size: u8,
    store: bool,
    value: u64,
}

/// An instruction whose end is not known yet.
struct Begun {
    instruction: Instruction,
    before: Registers,
    gs_base: u64,
    touches: Vec<Touch>,
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Instructions whose accesses, registers, flags and successor were compared.
    pub(super) compared: u64,
    /// Those of them that are SEAMCALLs: what the firmware returns is not the interpreter's.
    pub(super) seamcalls: u64,
    /// Instructions behind which the CPU left the logged functions, or was interrupted: accesses and successor were compared.
    pub(super) left: u64,
    /// How often each form was executed.
    pub(super) forms: BTreeMap<String, u64>,
    /// Those that the interpreter does not know.
    pub(super) unknown: BTreeMap<String, u64>,
    /// The first ones.
    pub(super) differences: Vec<String>,
}

impl Counts {
    /// Adds those of another log.
    pub(super) fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.seamcalls += other.seamcalls;
        self.left += other.left;
        for (form, times) in other.forms {
            *self.forms.entry(form).or_default() += times;
        }
        self.differences.extend(other.differences);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { compared, seamcalls, left, forms, differences, .. } = self;
        let forms = forms.len();
        write!(f, "{compared} instructions of {forms} forms compared, {seamcalls} of them SEAMCALLs; ")?;
        write!(f, "{left} at the borders; {} differences", differences.len())
    }
}

/// The comparison.
pub(super) struct Replay {
    kernel: ElfImage,
    ranges: Vec<Range<u64>>,
    erring: Option<Erring>,
    code: HashMap<u64, Instruction>,
    registers: HashMap<u16, [u64; LOGGED_REGISTERS]>,
    begun: HashMap<u16, Begun>,
    /// Arithmetic flags of each CPU, and which of them are undefined.
    flags: HashMap<u16, (u8, u8)>,
    pub(super) counts: Counts,
}

impl Replay {
    /// Of a log of these functions, by an interpreter with an error or without.
    pub(super) fn new(kernel: ElfImage, ranges: Vec<Range<u64>>, erring: Option<Erring>) -> Self {
        let (code, registers, begun, flags) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { kernel, ranges, erring, code, registers, begun, flags, counts: Counts::default() }
    }

    /// Takes what the log says next.
    pub(super) fn take(&mut self, logged: Logged) {
        match logged {
            Logged::Code { pc, bytes } => {
                self.code.insert(pc, decode(&bytes, pc));
            }
            Logged::Touched { lp, address, size, store, value } => {
                if let Some(begun) = self.begun.get_mut(&lp) {
                    begun.touches.push(Touch { address, size, store, value });
                }
            }
            Logged::Interrupted { lp, from } => {
                // One that was interrupted itself is executed again.
                if let Some(begun) = self.begun.remove(&lp).filter(|begun| begun.before.rip != from) {
                    self.compare(&begun, Some(from), None);
                }
                self.flags.remove(&lp);
            }
            Logged::Instruction { lp, pc, registers } => self.instruction(lp, pc, &registers),
        }
    }

    fn instruction(&mut self, lp: u16, pc: u64, changed: &[(u8, u64)]) {
        let known = self.registers.entry(lp).or_default();
        for (number, value) in changed {
            known[usize::from(*number)] = *value;
        }
        let (mut now, gs_base) = (registers(known, pc), known[LOGGED_GS_BASE]);
        let repeats = |begun: &Begun| begun.before.rip == pc && begun.instruction.has_rep_prefix();
        if self.begun.get(&lp).is_some_and(repeats) {
            return;
        }
        if let Some(begun) = self.begun.remove(&lp) {
            // With all registers the log of this CPU begins anew.
            let is_new = changed.len() == LOGGED_REGISTERS;
            match self.compare(&begun, None, (!is_new).then_some(&now)) {
                Some(flags) => self.flags.insert(lp, flags),
                None => self.flags.remove(&lp),
            };
        }
        // Behind a gap none is known.
        let (flags, undefined) = self.flags.get(&lp).copied().unwrap_or((0, flag::ARITHMETIC));
        now.flags |= flags & flag::ARITHMETIC;
        now.undefined = undefined;
        let instruction = self.code[&pc];
        self.begun.insert(lp, Begun { instruction, before: now, gs_base, touches: Vec::new() });
    }

    /// Compares an instruction with what is known of its end. Returns the flags behind it, where the CPU goes on from there.
    fn compare(&mut self, begun: &Begun, next: Option<u64>, after: Option<&Registers>) -> Option<(u8, u8)> {
        let instruction = self.erring.map_or(begun.instruction, |erring| erring.taken_for(begun.instruction));
        let mut registers = begun.before.clone();
        let mut bus = Recorded::of(begun);
        let result = execute(&mut registers, &instruction, begun.gs_base, &mut bus);
        let form = format!("{:?}", begun.instruction.code());
        let mut wrong = bus.wrong.take();
        match result {
            Ok(Next::At(rip)) => registers.rip = rip,
            Ok(Next::Seamcall) => {
                self.counts.seamcalls += 1;
                registers.rip = begun.instruction.next_ip();
                if let Some(after) = after {
                    // The plugin takes the jump by the carry flag along: it cannot write flags inside of a block.
                    let jump = self.kernel.bytes(registers.rip).map(|code| decode(code, registers.rip));
                    let jump = jump.filter(|jump| jump.mnemonic() == Mnemonic::Jb);
                    if jump.is_some_and(|jump| [jump.next_ip(), jump.near_branch64()].contains(&after.rip)) {
                        registers.rip = after.rip;
                    }
                    for result in RESULTS {
                        registers.gpr[result] = after.gpr[result];
                    }
                }
                registers.undefined = flag::ARITHMETIC;
            }
            // It depends on a flag of which nothing is known here.
            Ok(Next::Unknown) if begun.before.undefined == flag::ARITHMETIC => {
                self.counts.left += 1;
                return None;
            }
            Ok(Next::Undefined | Next::Unknown) => {
                *self.counts.unknown.entry(form).or_default() += 1;
                return None;
            }
            Err(Differs) => {}
        }
        *self.counts.forms.entry(form.clone()).or_default() += 1;
        if let Some(erring) = self.erring {
            erring.spoil(&begun.instruction, &begun.before, &mut registers);
        }
        wrong = wrong.or_else(|| bus.left(&begun.instruction));
        let is_logged = self.ranges.iter().any(|range| range.contains(&registers.rip));
        let expected = next.or(after.map(|after| after.rip));
        let follows = after.filter(|after| is_logged || registers.rip == after.rip);
        if let Some(after) = follows {
            self.counts.compared += 1;
            wrong = wrong.or_else(|| difference(&registers, after));
        } else {
            self.counts.left += 1;
            let leads_elsewhere = expected.is_some_and(|expected| expected != registers.rip) && is_logged;
            wrong = wrong.or(leads_elsewhere.then(|| format!("it goes on at {:#x}", registers.rip)));
        }
        if let Some(wrong) = wrong.filter(|_| self.counts.differences.len() < MOST) {
            self.counts.differences.push(format!("{form} at {:#x}: {wrong}", begun.before.rip));
        }
        follows.map(|_| (registers.flags, registers.undefined))
    }
}

/// The registers of the log, as the interpreter has them, without arithmetic flags.
fn registers(known: &[u64; LOGGED_REGISTERS], rip: u64) -> Registers {
    let flags = if known[LOGGED_RFLAGS] & RFLAGS_IF == 0 { 0 } else { flag::IF };
    Registers { gpr: std::array::from_fn(|number| known[number]), rip, flags, undefined: 0 }
}

fn difference(ours: &Registers, theirs: &Registers) -> Option<String> {
    if let Some(number) = (0..16).find(|number| ours.gpr[*number] != theirs.gpr[*number]) {
        return Some(format!("register {number} is {:#x}, should be {:#x}", ours.gpr[number], theirs.gpr[number]));
    }
    if ours.rip != theirs.rip {
        return Some(format!("it goes on at {:#x}, should at {:#x}", ours.rip, theirs.rip));
    }
    let differs = (ours.flags ^ theirs.flags) & flag::IF != 0;
    differs.then(|| "the interrupt flag differs".into())
}

/// Memory that has what QEMU's accesses say, and no more.
struct Recorded<'a> {
    touches: &'a [Touch],
    taken: Vec<bool>,
    /// Bits of a stored value that are not known: PUSHF stores undefined flags.
    unknown: u64,
    wrong: Option<String>,
}

/// The interpreter touches memory otherwise than QEMU.
struct Differs;

impl<'a> Recorded<'a> {
    fn of(begun: &'a Begun) -> Self {
        let undefined = PLACES.iter().filter(|(flag, _)| begun.before.undefined & flag != 0);
        let is_pushf = begun.instruction.mnemonic() == Mnemonic::Pushfq;
        let unknown = if is_pushf { undefined.map(|(_, place)| 1 << place).sum() } else { 0 };
        Self { touches: &begun.touches, taken: vec![false; begun.touches.len()], unknown, wrong: None }
    }

    /// The next access of QEMU's of this kind, if it is at this place.
    fn take(&mut self, access: Access, store: bool) -> Result<u64, Differs> {
        let next = (0..self.touches.len()).find(|place| !self.taken[*place] && self.touches[*place].store == store);
        match next.map(|place| (place, self.touches[place])) {
            Some((place, touch)) if (touch.address, touch.size) == (access.address, access.size) => {
                self.taken[place] = true;
                Ok(touch.value)
            }
            other => {
                self.wrong = Some(format!("it touches {access:x?} (a store: {store}), QEMU has {other:x?}"));
                Err(Differs)
            }
        }
    }

    /// What QEMU touched and the interpreter did not. A comparison that failed writes what it read, which changes nothing.
    fn left(&self, instruction: &Instruction) -> Option<String> {
        let left = self.touches.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(touch, _)| touch);
        let same = |touch: &&Touch| {
            let read = self.touches.iter().find(|other| !other.store && other.address == touch.address);
            instruction.mnemonic() == Mnemonic::Cmpxchg && touch.store && read.is_some_and(|r| r.value == touch.value)
        };
        let mut left = left.filter(|touch| !same(touch));
        left.next().map(|touch| format!("it does not touch what QEMU does: {touch:x?}"))
    }
}

impl Bus for Recorded<'_> {
    type Stop = Differs;

    fn load(&mut self, access: Access) -> Result<u64, Differs> {
        self.take(access, false)
    }

    fn store(&mut self, access: Access, value: u64) -> Result<(), Differs> {
        let theirs = self.take(access, true)?;
        let ours = if access.size == 8 { value } else { value & ((1 << (access.size * 8)) - 1) };
        if (ours ^ theirs) & !self.unknown != 0 {
            self.wrong = Some(format!("it writes {ours:#x} to {:#x}, QEMU {theirs:#x}", access.address));
            return Err(Differs);
        }
        Ok(())
    }
}
