//! The TDX module. Source: the public module 1.5.01 (intel/tdx-module, branch `tdx_1.5`) where nothing else is said; what
//! differs between generations is in `crate::generation`.

mod dispatch;
mod handoff;
mod identity;
mod lifecycle;
mod mem;
mod mng;
mod phymem;
mod protected;
mod sys;
pub(crate) mod td;
pub(crate) mod tdg;
mod tdmr;
mod vp;

use crate::Config;
use crate::abi::seamldr::SeamExtend;
use crate::abi::sigstruct::SigStruct;
use serde::{Deserialize, Serialize};

pub(crate) use dispatch::dispatch;
pub(crate) use handoff::Handoff;
pub(crate) use identity::Identity;
pub(crate) use lifecycle::SysState;
pub(crate) use protected::{PageType, PamtEntry, Protected};
pub(crate) use sys::shutdown::transient as transient_shutdown;
pub(crate) use tdmr::Tdmr;
pub(crate) use vp::{is_notification, take_posted, translate};

/// A module in the SEAM range: what it is, and its global data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Module {
    pub(crate) identity: Identity,
    pub(crate) state: SysState,
    /// By LP: TDH.SYS.LP.INIT was done.
    pub(crate) lp_initialized: Vec<bool>,
    /// Global KeyID; set by TDH.SYS.CONFIG.
    pub(crate) keyid: u16,
    /// KeyID ownership, for the TDX KeyIDs from the lowest on.
    pub(crate) kot: Vec<KeyState>,
    /// Write-back table, by package.
    pub(crate) wbt: Vec<WriteBack>,
    /// By package: TDH.SYS.KEY.CONFIG was done.
    pub(crate) package_configured: Vec<bool>,
    /// TDMRs, ascending.
    pub(crate) tdmrs: Vec<Tdmr>,
    /// TDs between TDH.MNG.INIT and TDH.MR.FINALIZE whose measurement a module began that counts them.
    pub(crate) td_build_count: u16,
    /// TDs whose measurement another form of module began must not be measured on (`update_compatibility`).
    pub(crate) update_compatibility: bool,
    /// TDH.SYS.DISABLE waits for others: no other TDH.SYS leaf begins.
    pub(crate) is_being_disabled: bool,
}

/// State of a TDX KeyID in the KeyID ownership table. Source: TDX module `kot_state_e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyState {
    /// Nobody's.
    Free,
    /// The module's own.
    Reserved,
    /// A TD's.
    Assigned,
    /// A TD's that is being torn down; set bits are packages whose caches TDH.PHYMEM.CACHE.WB has yet to write back.
    Flushed { packages: u8 },
}

/// A package's TDH.PHYMEM.CACHE.WB. Source: TDX module `wbt_entry_t`, whose point of interruption is one of the cache's
/// blocks; those are not modelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WriteBack {
    /// It was interrupted and may resume.
    pub(crate) interrupted: bool,
    /// Places in the KeyID ownership table of the KeyIDs that were flushed when it started.
    pub(crate) flushed: Vec<u16>,
}

impl Module {
    /// The module as INSTALL leaves it: all data zero, TDH.SYS.INIT pending.
    pub(crate) fn installed(config: &Config, sigstruct: &SigStruct, image: &[u8]) -> Self {
        Self {
            identity: Identity::of(sigstruct, image),
            state: SysState::InitPending,
            lp_initialized: vec![false; config.lps.len()],
            keyid: 0,
            kot: vec![KeyState::Free; config.tdx_keyids as usize],
            wbt: vec![WriteBack::default(); config.packages() as usize],
            package_configured: vec![false; config.packages() as usize],
            tdmrs: Vec::new(),
            td_build_count: 0,
            update_compatibility: false,
            is_being_disabled: false,
        }
    }

    /// SEAMEXTEND that tells of this module (`fill_seamextend_structure`).
    pub(crate) fn seamextend(&self, p_seamldr_ready: u8) -> SeamExtend {
        SeamExtend {
            valid: 0x1FF,
            minor_svn: self.identity.minor_svn,
            major_svn: self.identity.major_svn,
            mrseam: self.identity.hash,
            seam_ready: 1,
            p_seamldr_ready,
            ..SeamExtend::ZERO
        }
    }

    /// State of a TDX KeyID.
    pub(crate) fn key(&mut self, keyid: u16, lowest: u16) -> &mut KeyState {
        &mut self.kot[usize::from(keyid - lowest)]
    }

    /// Whether any KeyID waits for TDH.PHYMEM.CACHE.WB to be freed.
    pub(crate) fn has_flushed_keys(&self) -> bool {
        self.kot.iter().any(|key| matches!(key, KeyState::Flushed { .. }))
    }

    /// Packages with the global key, one bit each.
    pub(crate) fn packages(&self) -> u8 {
        self.package_configured.iter().enumerate().fold(0, |bits, (i, done)| bits | u8::from(*done) << i)
    }

    /// Whether every LP of the platform was initialised.
    pub(crate) fn all_lps_initialized(&self) -> bool {
        !self.lp_initialized.contains(&false)
    }
}
