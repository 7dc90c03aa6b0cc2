//! What a module is: its sigstruct's data and what it tells of itself.

use crate::abi::Digest;
use crate::abi::sigstruct::SigStruct;
use crate::generation::Figures;
use crate::image::Descriptor;
use serde::{Deserialize, Serialize};

/// What a module is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) minor_svn: u8,
    pub(crate) major_svn: u8,
    /// SHA-384 of the module.
    #[serde(with = "hex::serde")]
    pub(crate) hash: Digest,
    /// Handoff version that the module produces, as its sigstruct says.
    pub(crate) module_hv: u16,
    /// Lowest handoff version that it consumes.
    pub(crate) min_update_hv: u16,
    pub(crate) no_downgrade: bool,
    /// Pages for handoff data, minus 1.
    pub(crate) num_handoff_pages: u16,
    /// Versions, features and limits.
    pub(crate) descriptor: Descriptor,
    /// The descriptor came from the image. A genuine module has none, and gets defaults.
    pub(crate) described: bool,
}

/// FEATURES0 bit 47: the module knows of TDs whose measurement depends on the module that began it. Source: 1.5.28
/// `tdx_features_enum0_t` (`update_compatibility`).
pub(crate) const UPDATE_COMPATIBILITY: u64 = 1 << 47;

impl Identity {
    /// The generation whose rules it follows.
    pub(crate) fn figures(&self) -> &'static Figures {
        self.descriptor.generation().figures()
    }

    /// Whether it counts TDs under construction and can refuse to shut down meanwhile. 1.5.25 does, whose handoff version is
    /// 1; a configurable module does with the feature, whatever its handoff version.
    pub(crate) fn counts_builds(&self) -> bool {
        self.descriptor.features0 & UPDATE_COMPATIBILITY != 0
    }

    /// Gathers it from a verified image.
    pub(crate) fn of(sig: &SigStruct, image: &[u8]) -> Self {
        let found = Descriptor::find(image);
        Self {
            minor_svn: sig.minor_svn,
            major_svn: sig.major_svn,
            hash: sig.seamhash,
            module_hv: sig.module_hv.get(),
            min_update_hv: sig.min_update_hv.get(),
            no_downgrade: sig.no_downgrade != 0,
            num_handoff_pages: sig.num_handoff_pages.get(),
            described: found.is_some(),
            descriptor: found.unwrap_or_else(|| Descriptor::assumed(sig)),
        }
    }
}
