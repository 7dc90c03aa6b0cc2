//! P-SEAMLDR's data.

use crate::Config;
use crate::abi::seamldr::SeamExtend;
use serde::{Deserialize, Serialize};

/// P-SEAMLDR's data (`pseamldr_data_t`), as far as leaves depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loader {
    /// Which kind of session is under way; 1.5.02 only, older ones see only INSTALL and SHUTDOWN sessions.
    pub(crate) flow: Flow,
    /// LPs that called INSTALL in this session.
    pub(crate) install_lps: Vec<bool>,
    /// LPs that called SHUTDOWN.
    pub(crate) shutdown_lps: Vec<bool>,
    /// LPs that finished CLEANUP in this session.
    pub(crate) cleanup_lps: Vec<bool>,
    /// SEAMEXTEND as it was when the session began.
    pub(crate) snapshot: SeamExtend,
    /// Free entries of the SEAM database, as P-SEAMLDR counts them.
    pub(crate) remaining_updates: u32,
    /// An INSTALL reached its last LP once.
    pub(crate) init_done: bool,
    /// By package: TDX keys may be in use.
    pub(crate) keys_dirty: Vec<bool>,
    /// By package (the cache domain here): caches may hold TDX data.
    pub(crate) cache_dirty: Vec<bool>,
}

/// Kinds of sessions that span all LPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    Ready,
    Install,
    Shutdown,
    Cleanup,
}

impl Loader {
    /// P-SEAMLDR after it was loaded, before any module.
    pub(crate) fn new(config: &Config, remaining_updates: u32) -> Self {
        let lps = vec![false; config.lps.len()];
        let packages = vec![false; config.packages() as usize];
        Self {
            flow: Flow::Ready,
            install_lps: lps.clone(),
            shutdown_lps: lps.clone(),
            cleanup_lps: lps,
            snapshot: SeamExtend::ZERO,
            remaining_updates,
            init_done: false,
            keys_dirty: packages.clone(),
            cache_dirty: packages,
        }
    }

    /// Whether a call of INSTALL on this LP would be the session's last, which does the work.
    pub(crate) fn is_last_to_install(&self, lp: usize) -> bool {
        self.install_lps.iter().enumerate().all(|(other, called)| *called != (other == lp))
    }

    /// Whether a call of CLEANUP on this LP would be its package's last and find keys or caches to wipe.
    pub(crate) fn has_to_clean(&self, config: &Config, lp: usize) -> bool {
        let package = config.lps[lp].package;
        let others = config.lps.iter().zip(&self.cleanup_lps).enumerate();
        let is_last =
            others.filter(|(_, (other, _))| other.package == package).all(|(i, (_, done))| *done != (i == lp));
        is_last && (self.keys_dirty[package as usize] || self.cache_dirty[package as usize])
    }

    /// Whether keys or caches hold what CLEANUP would wipe.
    pub(crate) fn is_dirty(&self) -> bool {
        self.keys_dirty.contains(&true) || self.cache_dirty.contains(&true)
    }
}
