//! MRTD: a SHA-384 over what was added to the TD, in 128-byte blocks.

use crate::abi::Digest;
use serde::{Deserialize, Serialize};
use sha2::digest::generic_array::GenericArray;
use sha2::{Digest as _, Sha384};

/// Registers of run-time measurements (`NUM_RTMRS`).
pub(crate) const RTMRS: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 128;
/// The version of the hash context that modules make who know of one. Source: TDX module 1.5.28
/// `CRYPTO_LIB_COMPAT_VERSION`.
pub(crate) const CONTEXT_VERSION: u16 = 1;
/// A module that does not know of context versions made it, or the measurement is finished.
pub(crate) const NO_CONTEXT: u16 = 0;
/// Initial hash value of SHA-384 (FIPS 180-4, 5.3.4).
const INITIAL: [u64; 8] = [
    0xCBBB_9D5D_C105_9ED8,
    0x629A_292A_367C_D507,
    0x9159_015A_3070_DD17,
    0x152F_ECD8_F70E_5939,
    0x6733_2667_FFC0_0B31,
    0x8EB4_4A87_6858_1511,
    0xDB0C_2E0D_64F9_8FA7,
    0x47B5_481D_BEFA_4FA4,
];

/// A SHA-384 under way, as values that can be saved, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    state: [u64; 8],
    blocks: u64,
    /// Result; zero until finalised.
    #[serde(with = "hex::serde")]
    pub(crate) mrtd: Digest,
    /// Registers of run-time measurements, in words as they lie in memory.
    rtmr: [[u64; 6]; RTMRS],
}

impl Measurement {
    /// Nothing measured.
    pub(crate) fn new() -> Self {
        Self { state: INITIAL, blocks: 0, mrtd: [0; 48], rtmr: [[0; 6]; RTMRS] }
    }

    /// Measures that a leaf was called for a guest-physical address: the name at byte 0, the address at byte 16.
    pub(crate) fn extend_name(&mut self, name: &str, gpa: u64) {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[16..24].copy_from_slice(&gpa.to_le_bytes());
        self.extend(&block);
    }

    /// Measures whole blocks.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len().is_multiple_of(BLOCK), "only whole blocks are measured");
        for block in bytes.chunks_exact(BLOCK) {
            sha2::compress512(&mut self.state, std::slice::from_ref(GenericArray::from_slice(block)));
            self.blocks += 1;
        }
    }

    /// Extends a register by a digest.
    pub(crate) fn extend_rtmr(&mut self, number: usize, data: &Digest) {
        let digest = Sha384::new().chain_update(bytes(&self.rtmr[number])).chain_update(data).finalize();
        for (word, bytes) in self.rtmr[number].iter_mut().zip(digest.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        }
    }

    /// The register that has this word of all of them.
    pub(crate) fn rtmr(&self, word: u32) -> Digest {
        bytes(&self.rtmr[word as usize / 6])
    }

    /// Ends the hash.
    pub(crate) fn finalize(&mut self) {
        let bits = u128::from(self.blocks) * BLOCK as u128 * 8;
        let mut padding = [0; BLOCK];
        padding[0] = 0x80;
        padding[BLOCK - 16..].copy_from_slice(&bits.to_be_bytes());
        self.extend(&padding);
        for (bytes, word) in self.mrtd.chunks_exact_mut(8).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
    }
}

fn bytes(words: &[u64; 6]) -> Digest {
    std::array::from_fn(|at| words[at / 8].to_le_bytes()[at % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha384() {
        let mut measured = Measurement::new();
        let message: Vec<u8> = (0..=255).collect();
        measured.extend(&message);
        measured.finalize();
        assert_eq!(measured.mrtd.as_slice(), Sha384::digest(&message).as_slice());
    }

    #[test]
    fn order_counts() {
        let (mut a, mut b) = (Measurement::new(), Measurement::new());
        a.extend_name("MEM.PAGE.ADD", 0);
        a.extend_name("MEM.PAGE.ADD", 4096);
        b.extend_name("MEM.PAGE.ADD", 4096);
        b.extend_name("MEM.PAGE.ADD", 0);
        assert_ne!(a, b);
    }
}
