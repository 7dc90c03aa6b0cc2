//! Where a vCPU's pages lie in its TD's memory.

use rig_wire::td::{RESET_PAGE, TdPage};
use sha2::{Digest, Sha512};

/// Pages of each vCPU's part, a power of two.
const PART_PAGES: u64 = 16;

/// A vCPU's part of its TD's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    base: u64,
}

impl Layout {
    pub(super) fn of_vcpu(index: u32) -> Self {
        Self { base: u64::from(index) * PART_PAGES * 4096 }
    }

    /// Pages of a TD with so many vCPUs.
    pub(super) fn pages(vcpus: u32) -> u64 {
        u64::from(vcpus) * PART_PAGES
    }

    /// Pages of a TD whose program lies behind the parts of all vCPUs that it may have.
    pub(super) fn pages_with(program: &[TdPage]) -> u64 {
        let low = program.iter().map(|page| page.gpa / 4096 + 1).filter(|page| *page < RESET_PAGE / 4096);
        low.max().unwrap_or(0)
    }

    fn page(self, number: u64) -> u64 {
        self.base + number * 4096
    }

    /// Initial page: the script, or how many rounds machine code makes.
    pub(super) fn script(self) -> u64 {
        self.page(0)
    }

    /// Initial pages of machine code: its stack.
    pub(super) fn stack(self) -> [u64; 2] {
        [6, 7].map(|number| self.page(number))
    }

    /// Initial page: what it computes on.
    pub(super) fn data(self) -> u64 {
        self.page(1)
    }

    /// Private page that KVM adds when it is touched: the round's number.
    pub(super) fn counter(self) -> u64 {
        self.page(2)
    }

    /// Private page that KVM adds: the chain.
    pub(super) fn chain(self) -> u64 {
        self.page(3)
    }

    /// Private page that KVM adds: what came back from shared memory.
    pub(super) fn echo(self) -> u64 {
        self.page(4)
    }

    /// A page that is made shared and private again in each round.
    pub(super) fn converted(self) -> u64 {
        self.page(5)
    }

    /// A page that is made shared once: the stop word and a word to echo.
    pub(super) fn shared(self) -> u64 {
        self.page(8)
    }

    pub(super) fn stop_word(self) -> u64 {
        self.shared()
    }
}

/// A page of bytes that differ by TD and vCPU.
pub(super) fn data_page(seed: u64, vcpu: u32) -> [u8; 4096] {
    let mut page = [0; 4096];
    for (block, number) in page.chunks_exact_mut(64).zip(0u32..) {
        let hash = Sha512::new().chain_update(seed.to_le_bytes()).chain_update(vcpu.to_le_bytes());
        block.copy_from_slice(&hash.chain_update(number.to_le_bytes()).finalize());
    }
    page
}
