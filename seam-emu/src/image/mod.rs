//! Module images: what they must look like, and a maker of signed ones for tests.

/// What a test image is to contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Major version of the module.
    pub major: u16,
    /// Minor version of the module.
    pub minor: u16,
    /// Update version of the module.
    pub update: u16,
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self { major: 1, minor: 5, update: 6 }
    }
}

/// The image file (blob version 0x200) for `spec`, signed with the test key.
pub fn build(spec: &ImageSpec) -> Vec<u8> {
    let _ = spec;
    unimplemented!("the image maker lands next")
}
