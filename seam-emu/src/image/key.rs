//! Signatures of sigstructs: RSA-3072, PKCS#1 v1.5, SHA-384, numbers little-endian.

use crate::abi::Digest;
use crate::abi::sigstruct::SigStruct;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha384};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

/// The key that signs test images. It is published on purpose and protects nothing.
static TEST_KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    RsaPrivateKey::from_pkcs8_der(include_bytes!("test_key.pkcs8.der")).expect("the key is committed beside this file")
});
static TEST_KEY_HASH: LazyLock<Digest> = LazyLock::new(|| hash(&test_modulus()));

/// Hash by which a key is trusted.
pub(crate) fn hash(modulus: &[u8; 384]) -> Digest {
    Sha384::digest(modulus).into()
}

/// Hash of the test key.
pub(crate) fn test_key_hash() -> Digest {
    *TEST_KEY_HASH
}

/// The test key's modulus, little-endian.
pub(crate) fn test_modulus() -> [u8; 384] {
    little_endian(TEST_KEY.n())
}

/// 384 bytes of a number, little-endian.
fn little_endian(number: &BigUint) -> [u8; 384] {
    let mut bytes = [0; 384];
    let digits = number.to_bytes_le();
    bytes[..digits.len()].copy_from_slice(&digits);
    bytes
}

/// Hash of what the signature covers.
fn signed_hash(sig: &SigStruct) -> Digest {
    let [header, body] = sig.signed_parts();
    Sha384::new().chain_update(header).chain_update(body).finalize().into()
}

/// Whether the signature fits the sigstruct's own modulus.
pub(crate) fn verify(sig: &SigStruct) -> bool {
    let modulus = BigUint::from_bytes_le(&sig.modulus);
    let Ok(key) = RsaPublicKey::new(modulus, BigUint::from(sig.exponent.get())) else { return false };
    let signature: Vec<u8> = sig.signature.iter().rev().copied().collect();
    key.verify(Pkcs1v15Sign::new::<Sha384>(), &signed_hash(sig), &signature).is_ok()
}

/// Signs with the test key. The scheme has no randomness, so equal sigstructs get equal signatures; each is computed
/// once per process.
pub(crate) fn sign(sig: &mut SigStruct) {
    static DONE: LazyLock<Mutex<HashMap<Digest, [u8; 384]>>> = LazyLock::new(Mutex::default);
    sig.modulus = test_modulus();
    let hash = signed_hash(sig);
    let mut done = DONE.lock().expect("no holder panics");
    sig.signature = *done.entry(hash).or_insert_with(|| {
        let signature = TEST_KEY.sign(Pkcs1v15Sign::new::<Sha384>(), &hash).expect("the key is large enough");
        std::array::from_fn(|i| signature[383 - i])
    });
}
