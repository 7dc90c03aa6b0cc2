//! A guest that means harm: random bytes in the slots, and SEAMCALLs whose operands point everywhere.
//!
//! Guest memory is mapped between pages to which all access faults, so an access outside it ends this test with a
//! signal.
//!
//! `cargo test` tries random inputs; guided by coverage: `cargo bolero test -p seam-mailbox --test hostile
//! random_bytes_and_wild_registers`.

mod common;

use common::{Bench, Quiet, RAM, SYS_INIT, leaf, seamcall};
use rig_wire::event::Kind as Recorded;
use rig_wire::plan::Control;
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use seam_mailbox::slots::{Request, SLOT_SIZE, SLOTS, from_words};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const CPUS: usize = 3;
/// Steps that one input takes at most.
const MOST_STEPS: usize = 64;

/// A machine as it starts, saved: verifying the module's signature for each input would take most of the time.
static FRESH: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    Quiet::new(CPUS, |_| {}).handler.control(&Control::Save { path: path.clone() });
    (dir, path)
});

fn fresh() -> Quiet {
    Quiet::of(Bench::new(CPUS, |plan| plan.restore = Some(FRESH.1.clone())), CPUS)
}

/// Bytes of an input, read as numbers; zeros when they run out.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// An address that a careless server would follow: at the ends of memory, across them, unaligned, with KeyID bits.
    fn address(&mut self) -> u64 {
        let end = RAM as u64;
        let low = u64::from(self.byte());
        match self.byte() % 12 {
            0 => end - low,
            1 => end + low,
            2 => end - 4096 + low,
            3 => u64::MAX - low,
            4 => (1 << 63) | low << 12,
            5 => (1 << 39) | 0x20_0000,
            6 => 0x20_0000 + low,
            7 => 0x20_0000 + (low << 8),
            8 => low << 12,
            9 => 0xfee0_0000 + low,
            10 => i64::MAX as u64 - low,
            _ => self.word(),
        }
    }

    fn rax(&mut self) -> u64 {
        const LEAVES: usize = Leaf::ALL.len();
        match self.byte() {
            0 => self.word(),
            n => Leaf::ALL[usize::from(n) % LEAVES].number(),
        }
    }
}

fn step(quiet: &mut Quiet, input: &mut Input<'_>) {
    let cpu = usize::from(input.byte()) % CPUS;
    match input.byte() % 4 {
        // Anything anywhere in the slots, the header included.
        0 => {
            let offset = usize::try_from(input.word()).unwrap_or(0) % (SLOTS + CPUS * SLOT_SIZE);
            let bytes: [u8; 24] = std::array::from_fn(|_| input.byte());
            let fits = quiet.memory.len() - offset;
            assert!(quiet.memory.write(offset, &bytes[..fits.min(24)]));
        }
        // Anything in guest memory, where the firmware looks for structures.
        1 => {
            let bytes: [u8; 64] = std::array::from_fn(|_| input.byte());
            assert!(quiet.ram.write(0x20_0000 + (usize::from(input.byte()) << 6), &bytes));
        }
        2 => {
            let mut words = std::array::from_fn(|_| input.address());
            words[0] = input.rax();
            quiet.caller(cpu).post(&seamcall(from_words(words)));
        }
        _ => {
            let regs = from_words(std::array::from_fn(|_| input.word()));
            let kind = input.byte().into();
            quiet.caller(cpu).post(&Request { kind, flags: u32::MAX, guest_ns: input.word(), regs });
        }
    }
    quiet.handler.serve(&quiet.slots);
}

#[test]
fn random_bytes_and_wild_registers() {
    bolero::check!().with_iterations(3000).with_max_len(2048).for_each(|bytes: &[u8]| {
        let mut quiet = fresh();
        let mut input = Input(bytes);
        for _ in 0..MOST_STEPS {
            if input.0.is_empty() {
                break;
            }
            step(&mut quiet, &mut input);
        }
        let records = quiet.bench.records();
        assert!(records.iter().all(|r| usize::from(r.lp) < CPUS && Recorded::from_u16(r.kind).is_some()));
    });
}

/// What is done to one CPU's slot is of no consequence to another.
#[test]
fn the_others_are_served_all_the_same() {
    bolero::check!().with_iterations(300).with_max_len(256).for_each(|bytes: &[u8]| {
        let mut quiet = fresh();
        let mut slot = [0; SLOT_SIZE];
        slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        // No request of this one is the next.
        slot[..4].copy_from_slice(&77u32.to_le_bytes());
        assert!(quiet.memory.write(SLOTS, &slot));
        assert_eq!(quiet.call(1, leaf(SYS_INIT)), (0, Regs::default()));
        assert_eq!(
            quiet.memory.word32(SLOTS + 192).load(Ordering::Relaxed),
            u32::from_le_bytes(slot[192..196].try_into().unwrap())
        );
    });
}

/// Every leaf with every operand at every bad address: nothing is written beyond memory, and nothing is believed.
#[test]
fn each_leaf_with_addresses_out_of_range_unaligned_and_overlapping() {
    let end = RAM as u64;
    let addresses =
        [0, 1, end - 1, end, end - 8, end + 4096, u64::MAX, u64::MAX - 4095, 1 << 39, 1 << 52, 0x20_0001, 0x20_0000];
    let mut quiet = fresh();
    quiet.call(0, leaf(SYS_INIT));
    for number in Leaf::ALL.iter().map(|leaf| leaf.number()) {
        for address in addresses {
            let mut words = [address; 14];
            words[0] = number;
            quiet.call(0, from_words(words));
            quiet.bench.records();
        }
    }
}
