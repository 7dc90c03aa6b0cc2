//! The script that a load's virtual CPUs run, and the chain that it must compute.

use rig_wire::agent::{Chain, DATA_GPA, REPORT_CHAIN, SCRIPT_GPA};
use seam_emu::script::{Op, Script};
use sha2::{Digest, Sha384};

/// Where in the page the chain is kept.
const CHAIN_AT: usize = 0x40;
/// Instructions that do nothing but take time, so that a slice ends in a round now and then.
const SPIN: u64 = 300;
/// Registers of the script.
const COUNT: u16 = 0;
const LEFT: u16 = 1;
const STATUS: u16 = 2;

/// Counts from a number of its own, writes the count to its page, hashes the page into its chain, stores the chain there,
/// reports its first 32 bytes to the VMM, halts, and begins again.
pub(crate) fn script(td: u32, vcpu: u32) -> Vec<u8> {
    let page = DATA_GPA + u64::from(vcpu) * 4096;
    let start = Script::new().then(Op::Accept, 0, page).then(Op::Set, COUNT, seed(td, vcpu));
    let again = start.here();
    let round = start.then(Op::Add, COUNT, 1).then(Op::Store, COUNT, page).then(Op::Hash, 0, page);
    let round = round.then(Op::StoreChain, 0, page + CHAIN_AT as u64).then(Op::Set, LEFT, SPIN);
    let spin = round.here();
    let mut report = round.then(Op::Loop, LEFT, spin);
    for word in 0..4 {
        report = report.then(Op::Load, 4 + word, page + CHAIN_AT as u64 + 8 * u64::from(word));
    }
    let bytes = report.then(Op::Vmcall, STATUS, REPORT_CHAIN).then(Op::Halt, 0, 0).then(Op::Jump, 0, again).to_pages();
    assert!(bytes.len() == 4096, "a script fills one page");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[..used].to_vec()
}

/// Where counting begins: different for each virtual CPU, so that two chains never agree.
fn seed(td: u32, vcpu: u32) -> u64 {
    u64::from(td) << 48 | u64::from(vcpu) << 40
}

/// First 32 bytes of the chain of a virtual CPU after so many rounds.
pub(crate) fn predicted(td: u32, vcpu: u32, rounds: u64) -> [u64; 4] {
    let mut page = [0; 4096];
    let mut chain = [0; 48];
    for round in 1..=rounds {
        page[..8].copy_from_slice(&(seed(td, vcpu) + round).to_le_bytes());
        chain = Sha384::new().chain_update(chain).chain_update(page).finalize().into();
        page[CHAIN_AT..CHAIN_AT + 48].copy_from_slice(&chain);
    }
    std::array::from_fn(|word| u64::from_le_bytes(chain[8 * word..8 * word + 8].try_into().expect("eight bytes")))
}

/// Whether a virtual CPU reported the chain that it must have.
pub(crate) fn is_right(chain: &Chain) -> bool {
    chain.rounds > 0 && chain.words == predicted(chain.td, chain.vcpu, chain.rounds)
}

const _: () = assert!(SCRIPT_GPA > DATA_GPA, "scripts lie above the pages that they compute on");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_virtual_cpu_has_a_chain_of_its_own() {
        let chains = [predicted(0, 0, 5), predicted(0, 1, 5), predicted(1, 0, 5), predicted(0, 0, 6)];
        for (i, chain) in chains.iter().enumerate() {
            assert!(!chains[..i].contains(chain), "{i}");
        }
        assert_eq!(predicted(3, 2, 7), predicted(3, 2, 7));
    }

    #[test]
    fn a_chain_cannot_be_wrong_or_missing() {
        let chain = Chain { td: 1, vcpu: 2, rounds: 3, words: predicted(1, 2, 3) };
        assert!(is_right(&chain));
        assert!(!is_right(&Chain { rounds: 4, ..chain.clone() }));
        assert!(!is_right(&Chain { vcpu: 1, ..chain.clone() }));
        assert!(!is_right(&Chain { rounds: 0, words: [0; 4], ..chain }));
    }

    #[test]
    fn scripts_begin_with_their_mark_and_fit_a_page() {
        let script = script(7, 63);
        assert!(script.starts_with(&seam_emu::script::MAGIC) && script.len() < 1024);
    }
}
