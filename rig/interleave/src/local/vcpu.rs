//! The private state of one CPU.

use crate::firmware::Reply;
use crate::isa::Registers;
use std::ops::Range;

/// Bytes of each CPU's stack, which is as large as the kernel's.
pub const STACK_SIZE: u64 = 0x4000;

/// The address to which the outermost function returns.
pub const RETURN: u64 = 0xffff_dead_0000_0000;

/// The stack of `cpu`, in the hole below Linux's `vmalloc` area (`Documentation/arch/x86/x86_64/mm.rst`).
pub const fn stack(cpu: u8) -> Range<u64> {
    let start = 0xffff_c800_0000_0000 + cpu as u64 * 0x10_0000;
    start..start + STACK_SIZE
}

/// Where the own area of `cpu` is, which the kernel finds by its GS base and where no memory of the kernel is.
pub const fn area(cpu: u8) -> Range<u64> {
    let start = 0xffff_8881_0000_0000 + cpu as u64 * AREA_STRIDE;
    start..start + AREA_STRIDE
}

/// Bytes from one CPU's area to the next.
pub const AREA_STRIDE: u64 = 0x10_0000;

/// Registers and all words that only this CPU touches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vcpu {
    /// Its number.
    pub cpu: u8,
    /// General registers, flags and instruction pointer.
    pub registers: Registers,
    /// What an instruction that reads and then writes a shared word has read.
    pub latch: Option<u64>,
    /// Stores to shared words that it has made and no other CPU can see yet, the oldest first; only where CPUs have store buffers.
    pub buffer: Vec<Write>,
    /// The lock that it took by the lock's contract and has not released.
    pub holds: Option<u64>,
    /// Whether it is inside a SEAMCALL.
    pub inside: bool,
    /// Whether it executed a warning.
    pub warned: bool,
    /// Whether it called what must not be called.
    pub forbidden: bool,
    /// Its words that differ from initial memory, by address.
    pub words: Vec<(u64, u64)>,
}

impl Vcpu {
    /// A CPU that is about to execute `rip` on an empty stack, with interrupts disabled.
    pub fn new(cpu: u8, rip: u64) -> Self {
        let registers = Registers { rip, ..Registers::default() };
        Self {
            cpu,
            registers,
            latch: None,
            buffer: Vec::new(),
            holds: None,
            inside: false,
            warned: false,
            forbidden: false,
            words: Vec::new(),
        }
    }

    /// Its own value of a word, if it differs from initial memory.
    pub fn word(&self, address: u64) -> Option<u64> {
        let place = self.words.binary_search_by_key(&address, |(word, _)| *word).ok()?;
        Some(self.words[place].1)
    }

    /// Writes one of its own words.
    pub fn set_word(&mut self, address: u64, value: u64) {
        match self.words.binary_search_by_key(&address, |(word, _)| *word) {
            Ok(place) => self.words[place].1 = value,
            Err(place) => self.words.insert(place, (address, value)),
        }
    }
}

/// A store to shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Its address.
    pub address: u64,
    /// Bytes.
    pub size: u8,
    /// What is stored.
    pub value: u64,
}

/// The operation that a CPU does next and others can notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Reads a shared word.
    Load {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
    },
    /// Writes a shared word.
    Store(Write),
    /// A locked instruction on a shared word.
    Locked {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
    },
    /// Takes a lock by its contract, which it does as soon as the word is zero.
    Acquire {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
    },
    /// A locked instruction on a word of its own: the CPU's stores become visible before it.
    Fence,
    /// Begins a SEAMCALL.
    Enter {
        /// RAX.
        rax: u64,
        /// RDX.
        rdx: u64,
    },
    /// Comes back from a SEAMCALL.
    Leave,
    /// The function has returned.
    Done {
        /// EAX.
        returned: u32,
    },
    /// The uploader starts the section.
    Start,
}

/// The result of the operation, with which the CPU goes on to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The CPU goes on; no operation comes first that has a result.
    Begin,
    /// Nothing: the store is made, or the call begun.
    Go,
    /// The oldest store in the CPU's buffer becomes visible. The CPU stays where it is.
    Flush,
    /// The value that a load or a locked instruction finds.
    Value(u64),
    /// What a SEAMCALL returns.
    Reply(Reply),
}
