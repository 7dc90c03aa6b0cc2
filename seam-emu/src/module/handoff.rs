//! Handoff data: what a module leaves for its successor. Source: TDX module `prepare_handoff_data`: KeyID table,
//! write-back table, TDMR table, global KeyID and package bitmap. TDs live in memory and need no export.

use super::{KeyState, Module, Tdmr};
use crate::abi::PAGE_SIZE;
use crate::abi::seamldr::MAX_PACKAGES;
use crate::abi::tdmr::{MAX_RESERVED_AREAS, MAX_TDMRS};
use serde::{Deserialize, Serialize};

/// Bytes of the header: valid, reserved, version, size.
pub(crate) const HEADER_SIZE: u64 = 8;

/// The handoff area at the start of the module's data region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handoff {
    pub(crate) valid: bool,
    /// Handoff version of `bytes`.
    pub(crate) hv: u16,
    /// The data after the header.
    pub(crate) bytes: Vec<u8>,
}

impl Handoff {
    /// Bytes of header and data.
    pub(crate) fn size_with_header(&self) -> u64 {
        HEADER_SIZE + self.bytes.len() as u64
    }

    /// As INSTALL with scenario LOAD leaves it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The data of handoff version 0 and 1. Version 1 adds the count of TDs under construction (1.5.25; its true layout is
/// not published, unverified).
#[derive(Serialize, Deserialize)]
struct Exported {
    keyid: u16,
    kot: Vec<KeyState>,
    package_configured: Vec<bool>,
    tdmrs: Vec<Tdmr>,
    td_build_count: u16,
}

/// Most bytes of a serialised number.
const NUMBER: u64 = 10;
/// Most bytes of a TDMR: base, size, how far it is initialised, and its reserved areas.
const TDMR: u64 = 3 * NUMBER + 1 + 2 * NUMBER * MAX_RESERVED_AREAS as u64;

/// Pages that hold header and data of any module with so many TDX KeyIDs.
pub(crate) fn most_pages(keyids: usize) -> u64 {
    let keys = 2 * keyids as u64;
    let rest = 5 * NUMBER + MAX_PACKAGES as u64;
    (HEADER_SIZE + MAX_TDMRS * TDMR + keys + rest).div_ceil(PAGE_SIZE)
}

/// What the module hands off.
pub(crate) fn export(module: &Module) -> Vec<u8> {
    let exported = Exported {
        keyid: module.keyid,
        kot: module.kot.clone(),
        package_configured: module.package_configured.clone(),
        tdmrs: module.tdmrs.clone(),
        td_build_count: module.td_build_count,
    };
    postcard::to_allocvec(&exported).expect("writing to memory does not fail")
}

/// Takes over what the predecessor handed off.
pub(crate) fn import(module: &mut Module, bytes: &[u8]) {
    let exported: Exported = postcard::from_bytes(bytes).expect("only export() writes handoff data");
    module.keyid = exported.keyid;
    module.kot = exported.kot;
    module.package_configured = exported.package_configured;
    module.tdmrs = exported.tdmrs;
    module.td_build_count = exported.td_build_count;
}
