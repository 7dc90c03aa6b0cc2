//! The words that CPUs share, and when a CPU's store is seen by the others.

/// A memory model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Every store is seen by all at once.
    Sequential,
    /// As on x86: stores wait in a queue in front of their CPU, which sees them at once; an atomic read-modify-write
    /// waits until the queue is empty.
    StoreBuffers,
}

/// A shared word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// The step that CPUs are to do.
    Step,
    /// How many acknowledged it.
    NumAck,
    /// How many failed.
    NumFailed,
    /// The lock around the counters; 1 is taken.
    AckLock,
    /// The lock before P-SEAMLDR; 1 is taken.
    LoaderLock,
}

const WORDS: usize = 5;

/// Their values and what is on its way to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shared {
    model: Memory,
    words: [u8; WORDS],
    /// For each CPU, the oldest store first.
    buffers: Vec<Vec<(Word, u8)>>,
}

impl Shared {
    /// All words 0.
    pub(crate) fn new(model: Memory, cpus: usize) -> Self {
        Self { model, words: [0; WORDS], buffers: vec![Vec::new(); cpus] }
    }

    /// What `cpu` reads.
    pub(crate) fn load(&self, cpu: usize, word: Word) -> u8 {
        let own = self.buffers[cpu].iter().rev().find(|(stored, _)| *stored == word);
        own.map_or(self.words[word as usize], |(_, value)| *value)
    }

    /// A plain store.
    pub(crate) fn store(&mut self, cpu: usize, word: Word, value: u8) {
        match self.model {
            Memory::Sequential => self.words[word as usize] = value,
            Memory::StoreBuffers => self.buffers[cpu].push((word, value)),
        }
    }

    /// Whether an atomic operation of `cpu` can happen now.
    pub(crate) fn is_drained(&self, cpu: usize) -> bool {
        self.buffers[cpu].is_empty()
    }

    /// Atomically adds one; what it is then.
    pub(crate) fn increment(&mut self, word: Word) -> u8 {
        self.words[word as usize] += 1;
        self.words[word as usize]
    }

    /// The oldest store of `cpu` reaches memory; false: there was none.
    pub(crate) fn drain(&mut self, cpu: usize) -> bool {
        if self.is_drained(cpu) {
            return false;
        }
        let (word, value) = self.buffers[cpu].remove(0);
        self.words[word as usize] = value;
        true
    }
}
