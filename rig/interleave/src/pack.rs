//! Bytes of a state, one after another, for its fingerprint.

/// A buffer of fixed size, which holds the largest state.
#[derive(Debug)]
pub struct Packer {
    bytes: [u8; SIZE],
    len: usize,
}

const SIZE: usize = 640;

impl Default for Packer {
    fn default() -> Self {
        Self { bytes: [0; SIZE], len: 0 }
    }
}

impl Packer {
    /// Begins anew.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds bytes.
    pub fn all(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// All that was added.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
