//! What a vCPU says in the end, computed without the emulator.

use super::layout;
use sha2::{Digest, Sha384};

/// What a vCPU says: how many rounds it made, and its hash chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Rounds.
    pub rounds: u64,
    /// SHA-384 over what it hashed.
    pub chain: [u8; 48],
}

impl Saying {
    /// As the words that it writes.
    pub fn words(&self) -> Vec<u64> {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("chunks of 8"));
        std::iter::once(self.rounds).chain(self.chain.chunks_exact(8).map(word)).collect()
    }
}

/// What vCPU `vcpu` of the TD with this seed says after so many rounds.
pub fn predict(seed: u64, vcpu: u32, rounds: u64) -> Saying {
    let data = layout::data_page(seed, vcpu);
    let (mut numbered, empty, mut chained) = ([0; 4096], [0; 4096], [0; 4096]);
    let mut chain = [0; 48];
    for round in 1..=rounds {
        numbered[..8].copy_from_slice(&round.to_le_bytes());
        for page in [&data, &numbered, &numbered, &empty, &numbered] {
            chain = link(chain, page);
        }
        chained[..48].copy_from_slice(&chain);
        chain = link(chain, &chained);
    }
    Saying { rounds, chain }
}

fn link(chain: [u8; 48], page: &[u8; 4096]) -> [u8; 48] {
    Sha384::new().chain_update(chain).chain_update(page).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_differ_by_td_vcpu_and_rounds() {
        let some = predict(1, 1, 2);
        assert_eq!(some, predict(1, 1, 2));
        for other in [predict(2, 1, 2), predict(1, 0, 2), predict(1, 1, 3)] {
            assert_ne!(some.chain, other.chain);
        }
        assert_eq!(some.words().len(), 7);
        assert_eq!(predict(1, 1, 0).chain, [0; 48]);
    }
}
