//! Which build of the rig this is.

use rig_judge::origin::RigBuild;

/// This build of the rig.
pub(crate) fn rig_build() -> RigBuild {
    RigBuild { version: env!("CARGO_PKG_VERSION").into(), revision: env!("RIG_REVISION").into() }
}
