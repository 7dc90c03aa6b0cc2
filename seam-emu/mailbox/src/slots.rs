//! The layout of the memory between guest and server: a header, then one slot for each CPU. `guest-kmod/shim.h` says the same.
//!
//! | offset | header | written by |
//! | --- | --- | --- |
//! | 0 | u64 magic, "SEAMBOX1" | server, last |
//! | 8 | u32 version | server |
//! | 12 | u32 number of slots | server |
//! | 64 | u32 the server sleeps: ring the doorbell | server |
//!
//! | offset | slot of 256 bytes, from [`SLOTS`] on | written by |
//! | --- | --- | --- |
//! | 0 | u32 number of the request, one more than the one before; stored last | guest |
//! | 4 | u32 [`Kind`] | guest |
//! | 8 | u32 flags, as in an event record: IF, HARDIRQ, CONTEXT_KNOWN | guest |
//! | 16 | u64 guest clock, ns | guest |
//! | 64 | u64[14] registers: RAX RCX RDX RBX RSI RDI R8-R15; of a record its kind, flags and a to d | guest, then server |
//! | 192 | u32 number of the request that is answered; stored last | server |
//! | 196 | u32 [`Outcome`] as a number | server |

use crate::Shared;
use seam_emu::{Outcome, Regs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// First word of the header.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SEAMBOX1");
/// Version of this layout.
pub const VERSION: u32 = 1;
/// Where the slots begin, bytes.
pub const SLOTS: usize = 4096;
/// Bytes of a slot: four cache lines, none of which both sides write at the same time.
pub const SLOT_SIZE: usize = 256;

mod header {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 8;
    pub(super) const COUNT: usize = 12;
    pub(super) const SLEEPS: usize = 64;
}

mod slot {
    pub(super) const REQUEST: usize = 0;
    pub(super) const KIND: usize = 4;
    pub(super) const FLAGS: usize = 8;
    pub(super) const GUEST_NS: usize = 16;
    pub(super) const REGS: usize = 64;
    pub(super) const REPLY: usize = 192;
    pub(super) const OUTCOME: usize = 196;
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A SEAMCALL with these registers.
    Seamcall = 1,
    /// To record an event: in place of the registers its kind, flags, and a to d.
    Record = 2,
    /// An MSR of the platform: its number in RCX, its value comes in RAX. The CPU's own answer is `Gp`.
    ReadMsr = 3,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_number(n: u32) -> Option<Self> {
        [Self::Seamcall, Self::Record, Self::ReadMsr].into_iter().find(|kind| *kind as u32 == n)
    }
}

/// A request, copied out of its slot: the guest cannot change it any more. Nothing in it is to be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`Kind`] as a number.
    pub kind: u32,
    /// Flags for the event record.
    pub flags: u32,
    /// Guest clock, nanoseconds.
    pub guest_ns: u64,
    /// Operands.
    pub regs: Regs,
}

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the CPU does.
    pub outcome: Outcome,
    /// The registers afterwards.
    pub regs: Regs,
}

/// The number that stands for an outcome.
pub fn outcome_number(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Return => 0,
        Outcome::VmFailInvalid => 1,
        Outcome::Ud => 2,
        Outcome::Gp => 3,
    }
}

/// The server's view of the shared memory.
#[derive(Clone, Debug)]
pub struct Slots {
    memory: Arc<Shared>,
    count: usize,
}

impl Slots {
    /// Bytes that so many CPUs need, as a power of two: a PCI device's memory has no other sizes.
    pub fn bytes(cpus: usize) -> usize {
        (SLOTS + cpus * SLOT_SIZE).next_power_of_two()
    }

    /// Slots for so many CPUs; writes the header. Panics if the memory is too small.
    pub fn new(memory: Arc<Shared>, cpus: usize) -> Self {
        assert!(memory.len() >= Self::bytes(cpus), "{} bytes are too few for {cpus} slots", memory.len());
        memory.word32(header::VERSION).store(VERSION, Ordering::Relaxed);
        memory.word32(header::COUNT).store(u32::try_from(cpus).expect("some CPUs"), Ordering::Relaxed);
        memory.word64(header::MAGIC).store(MAGIC, Ordering::Release);
        Self { memory, count: cpus }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of the latest request of a CPU; what was written before it can be read after this.
    pub fn request_number(&self, cpu: usize) -> u32 {
        self.memory.word32(self.at(cpu, slot::REQUEST)).load(Ordering::Acquire)
    }

    /// Copies a request out, after its number was seen.
    pub fn request(&self, cpu: usize) -> Request {
        let half = |field| self.memory.word32(self.at(cpu, field)).load(Ordering::Relaxed);
        let word = |field| self.memory.word64(self.at(cpu, field)).load(Ordering::Relaxed);
        let mut values = [0; 14];
        for (i, value) in values.iter_mut().enumerate() {
            *value = word(slot::REGS + 8 * i);
        }
        Request {
            kind: half(slot::KIND),
            flags: half(slot::FLAGS),
            guest_ns: word(slot::GUEST_NS),
            regs: from_words(values),
        }
    }

    /// Answers a request.
    pub fn answer(&self, cpu: usize, number: u32, answer: &Answer) {
        for (i, value) in to_words(&answer.regs).into_iter().enumerate() {
            self.memory.word64(self.at(cpu, slot::REGS + 8 * i)).store(value, Ordering::Relaxed);
        }
        let outcome = self.memory.word32(self.at(cpu, slot::OUTCOME));
        outcome.store(outcome_number(answer.outcome), Ordering::Relaxed);
        self.memory.word32(self.at(cpu, slot::REPLY)).store(number, Ordering::Release);
    }

    /// Sets the flag by which guests know whether they must ring. After `true`, one more round finds all requests that came before.
    pub fn set_sleeping(&self, sleeping: bool) {
        self.memory.word32(header::SLEEPS).store(sleeping.into(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    fn at(&self, cpu: usize, field: usize) -> usize {
        assert!(cpu < self.count, "there is no slot {cpu}");
        SLOTS + cpu * SLOT_SIZE + field
    }
}

/// The guest's side, for tests and benchmarks: what the shim does, without interrupts.
#[derive(Clone, Debug)]
pub struct Caller {
    memory: Arc<Shared>,
    at: usize,
}

impl Caller {
    /// The CPU's slot in memory that [`Slots::new`] laid out.
    pub fn new(memory: Arc<Shared>, cpu: usize) -> Self {
        Self { memory, at: SLOTS + cpu * SLOT_SIZE }
    }

    /// Posts a request; says its number, and whether the server must be woken.
    pub fn post(&self, request: &Request) -> (u32, bool) {
        let half = |field| self.memory.word32(self.at + field);
        let number = half(slot::REPLY).load(Ordering::Relaxed).wrapping_add(1);
        half(slot::KIND).store(request.kind, Ordering::Relaxed);
        half(slot::FLAGS).store(request.flags, Ordering::Relaxed);
        self.memory.word64(self.at + slot::GUEST_NS).store(request.guest_ns, Ordering::Relaxed);
        for (i, value) in to_words(&request.regs).into_iter().enumerate() {
            self.memory.word64(self.at + slot::REGS + 8 * i).store(value, Ordering::Relaxed);
        }
        half(slot::REQUEST).store(number, Ordering::Release);
        fence(Ordering::SeqCst);
        (number, self.memory.word32(header::SLEEPS).load(Ordering::Relaxed) != 0)
    }

    /// The answer to a request, once it is there: the outcome's number and the registers.
    pub fn collect(&self, number: u32) -> Option<(u32, Regs)> {
        if self.memory.word32(self.at + slot::REPLY).load(Ordering::Acquire) != number {
            return None;
        }
        let mut values = [0; 14];
        for (i, value) in values.iter_mut().enumerate() {
            *value = self.memory.word64(self.at + slot::REGS + 8 * i).load(Ordering::Relaxed);
        }
        Some((self.memory.word32(self.at + slot::OUTCOME).load(Ordering::Relaxed), from_words(values)))
    }
}

/// The registers in their order in a slot.
pub fn to_words(r: &Regs) -> [u64; 14] {
    [r.rax, r.rcx, r.rdx, r.rbx, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]
}

/// The inverse of [`to_words`].
pub fn from_words(words: [u64; 14]) -> Regs {
    let [rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = words;
    Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answer_pass_through() {
        let memory = Arc::new(Shared::create("slots", Slots::bytes(4)).unwrap());
        let slots = Slots::new(Arc::clone(&memory), 4);
        let caller = Caller::new(memory, 3);
        let regs = from_words(std::array::from_fn(|i| i as u64 + 1));
        let request = Request { kind: 1, flags: 9, guest_ns: 5, regs };
        let (number, _) = caller.post(&request);
        assert_eq!((slots.request_number(3), slots.request_number(2)), (1, 0));
        assert_eq!(slots.request(3), request);
        assert_eq!(caller.collect(number), None);
        let regs = Regs { rax: 77, ..regs };
        slots.answer(3, number, &Answer { outcome: Outcome::VmFailInvalid, regs });
        assert_eq!(caller.collect(number), Some((1, regs)));
        assert_eq!(caller.post(&request).0, 2);
    }

    #[test]
    fn a_sleeping_server_is_rung() {
        let memory = Arc::new(Shared::create("slots", Slots::bytes(1)).unwrap());
        let slots = Slots::new(Arc::clone(&memory), 1);
        let caller = Caller::new(memory, 0);
        assert!(!caller.post(&Request::default()).1);
        slots.set_sleeping(true);
        assert!(caller.post(&Request::default()).1);
    }

    #[test]
    fn five_hundred_cpus_fit_into_a_device() {
        assert_eq!(Slots::bytes(512), 256 << 10);
        assert_eq!(Slots::bytes(4), 8192);
    }
}
