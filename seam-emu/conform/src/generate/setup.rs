//! What a VMM has in memory before it makes its first call.

use super::operands::{GLOBAL_KEYID, PARAMS_VARIANTS, SOURCE, TD_PARAMS, TDMR, TDMR_ARRAY, TDMR_INFO};
use crate::compare::Step;
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::tdmr::{PAMT_ENTRY_SIZE, TdmrInfo};
use zerocopy::{FromZeros, IntoBytes};

/// Where the PAMTs lie, below the TDMR.
const PAMT: u64 = 0x1000_0000;
/// Bytes of the TDMR.
const TDMR_SIZE: u64 = 1 << 30;

/// The steps that put it there.
pub fn setup() -> Vec<Step> {
    let mut steps = vec![
        Step::Put { pa: TDMR_ARRAY, bytes: TDMR_INFO.to_le_bytes().to_vec() },
        Step::Put { pa: TDMR_INFO, bytes: tdmr().as_bytes().to_vec() },
        Step::Put { pa: SOURCE, bytes: (0..4096u32).map(|i| (i * 7) as u8).collect() },
    ];
    let params = (0..PARAMS_VARIANTS)
        .map(|variant| Step::Put { pa: TD_PARAMS + 4096 * variant, bytes: params(variant).as_bytes().to_vec() });
    steps.extend(params);
    steps
}

/// The one TDMR.
fn tdmr() -> TdmrInfo {
    let small = TDMR_SIZE / 4096 * PAMT_ENTRY_SIZE;
    let large = (TDMR_SIZE / (2 << 20) * PAMT_ENTRY_SIZE).next_multiple_of(4096);
    TdmrInfo {
        base: TDMR,
        size: TDMR_SIZE,
        pamt_4k_base: PAMT,
        pamt_4k_size: small,
        pamt_2m_base: PAMT + small,
        pamt_2m_size: large,
        pamt_1g_base: PAMT + small + large,
        pamt_1g_size: 4096,
        ..TdmrInfo::default()
    }
}

/// TDH.SYS.CONFIG with that TDMR.
pub(super) fn config_call() -> Regs {
    Regs { rax: Leaf::SysConfig.number(), rcx: TDMR_ARRAY, rdx: 1, r8: GLOBAL_KEYID, ..Regs::default() }
}

/// Parameters of a TD. Variants 0 to 2 are right; each of the others has one error.
fn params(variant: u64) -> TdParams {
    let mut params = TdParams::new_zeroed();
    (params.xfam, params.max_vcpus, params.eptp_controls, params.tsc_frequency) = (3, 4, 6 | 3 << 3, 100);
    match variant {
        1 => params.attributes = 1 << 28,
        2 => (params.xfam, params.max_vcpus) = (7, 1),
        3 => params.xfam = 0x63,
        4 => params.tsc_frequency = 1,
        5 => params.attributes = 1 << 1,
        _ => {}
    }
    params
}
