//! SHA-384 (FIPS 180-4), over a chain and a page.

use core::ptr::read_volatile;

/// Bytes of a page, and words of a block and of a digest.
const PAGE: u64 = 4096;
const BLOCK: usize = 16;
const DIGEST: usize = 6;

/// Initial hash value (FIPS 180-4, 5.3.4).
const INITIAL: [u64; 8] = [
    0xcbbb9d5dc1059ed8,
    0x629a292a367cd507,
    0x9159015a3070dd17,
    0x152fecd8f70e5939,
    0x67332667ffc00b31,
    0x8eb44a8768581511,
    0xdb0c2e0d64f98fa7,
    0x47b5481dbefa4fa4,
];

/// Constants of the rounds (4.2.3).
const K: [u64; 80] = [
    0x428a2f98d728ae22,
    0x7137449123ef65cd,
    0xb5c0fbcfec4d3b2f,
    0xe9b5dba58189dbbc,
    0x3956c25bf348b538,
    0x59f111f1b605d019,
    0x923f82a4af194f9b,
    0xab1c5ed5da6d8118,
    0xd807aa98a3030242,
    0x12835b0145706fbe,
    0x243185be4ee4b28c,
    0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f,
    0x80deb1fe3b1696b1,
    0x9bdc06a725c71235,
    0xc19bf174cf692694,
    0xe49b69c19ef14ad2,
    0xefbe4786384f25e3,
    0x0fc19dc68b8cd5b5,
    0x240ca1cc77ac9c65,
    0x2de92c6f592b0275,
    0x4a7484aa6ea6e483,
    0x5cb0a9dcbd41fbd4,
    0x76f988da831153b5,
    0x983e5152ee66dfab,
    0xa831c66d2db43210,
    0xb00327c898fb213f,
    0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2,
    0xd5a79147930aa725,
    0x06ca6351e003826f,
    0x142929670a0e6e70,
    0x27b70a8546d22ffc,
    0x2e1b21385c26c926,
    0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df,
    0x650a73548baf63de,
    0x766a0abb3c77b2a8,
    0x81c2c92e47edaee6,
    0x92722c851482353b,
    0xa2bfe8a14cf10364,
    0xa81a664bbc423001,
    0xc24b8b70d0f89791,
    0xc76c51a30654be30,
    0xd192e819d6ef5218,
    0xd69906245565a910,
    0xf40e35855771202a,
    0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8,
    0x1e376c085141ab53,
    0x2748774cdf8eeb99,
    0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63,
    0x4ed8aa4ae3418acb,
    0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc,
    0x78a5636f43172f60,
    0x84c87814a1f0ab72,
    0x8cc702081a6439ec,
    0x90befffa23631e28,
    0xa4506cebde82bde9,
    0xbef9a3f7b2c67915,
    0xc67178f2e372532b,
    0xca273eceea26619c,
    0xd186b8c721c0c207,
    0xeada7dd6cde0eb1e,
    0xf57d4f7fee6ed178,
    0x06f067aa72176fba,
    0x0a637dc5a2c898a6,
    0x113f9804bef90dae,
    0x1b710b35131c471b,
    0x28db77f523047d84,
    0x32caab7b40c72493,
    0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6,
    0x597f299cfc657e2a,
    0x5fcb6fab3ad6faec,
    0x6c44198c4a475817,
];

/// The digest of all that was added, each time over the digest before and the page.
#[derive(Default)]
pub struct Chain([u64; DIGEST]);

impl Chain {
    /// Adds the page at this address.
    pub fn add(&mut self, page: u64) {
        let mut hash = INITIAL;
        let bits = (8 * DIGEST as u64 + PAGE) * 8;
        // The message in words: the chain, the page, a one bit, zeros, and its length in the last of 16.
        let page_words = PAGE as usize / 8;
        let length_at = (DIGEST + page_words + 2).next_multiple_of(BLOCK) - 1;
        for block in (0..=length_at).step_by(BLOCK) {
            let word = |n: usize| match n.checked_sub(DIGEST) {
                None => self.0[n],
                Some(n) if n < page_words => {
                    // SAFETY: the page is mapped and no variable of Rust's.
                    unsafe { read_volatile((page as *const u64).add(n)) }.swap_bytes()
                }
                Some(n) if n == page_words => 1 << 63,
                _ if n == length_at => bits,
                _ => 0,
            };
            compress(&mut hash, core::array::from_fn(|n| word(block + n)));
        }
        self.0.copy_from_slice(&hash[..DIGEST]);
    }

    /// Its bytes, as words with the lowest byte first.
    pub fn words(&self) -> [u64; DIGEST] {
        self.0.map(u64::swap_bytes)
    }
}

/// 6.4.2.
fn compress(hash: &mut [u64; 8], block: [u64; BLOCK]) {
    let mut schedule = [0; 80];
    schedule[..BLOCK].copy_from_slice(&block);
    for t in BLOCK..80 {
        let (x, y) = (schedule[t - 2], schedule[t - 15]);
        let sigma1 = x.rotate_right(19) ^ x.rotate_right(61) ^ x >> 6;
        let sigma0 = y.rotate_right(1) ^ y.rotate_right(8) ^ y >> 7;
        schedule[t] = sigma1.wrapping_add(schedule[t - 7]).wrapping_add(sigma0).wrapping_add(schedule[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *hash;
    for (w, k) in schedule.into_iter().zip(K) {
        let sum1 = e.rotate_right(14) ^ e.rotate_right(18) ^ e.rotate_right(41);
        let choice = e & f ^ !e & g;
        let first = h.wrapping_add(sum1).wrapping_add(choice).wrapping_add(k).wrapping_add(w);
        let sum0 = a.rotate_right(28) ^ a.rotate_right(34) ^ a.rotate_right(39);
        let majority = a & b ^ a & c ^ b & c;
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(sum0).wrapping_add(majority));
    }
    for (word, more) in hash.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(more);
    }
}
