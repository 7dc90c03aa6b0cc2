//! SEAMLDR.SEAMINFO: copies out what MCHECK recorded about the platform.

use crate::abi::Status;
use crate::abi::seamldr::{Cmr, MAX_CMRS, MAX_PACKAGES, SEAMINFO_SIZE, SysInfoTable};
use crate::context::{Context, Outcome};
use crate::platform::Platform;
use crate::{Config, Regs};

/// RCX: address of 2048 bytes, aligned to 2048, shared.
pub(super) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let pa = cx.platform.shared_pa(regs.rcx, SEAMINFO_SIZE).ok_or(Status::EBADPARAM)?;
    let table = table(cx.config, cx.platform);
    cx.write_as(pa, &table);
    Ok(())
}

/// The table that MCHECK leaves.
fn table(config: &Config, platform: &Platform) -> SysInfoTable {
    let mut cmrs = [Cmr::default(); MAX_CMRS];
    for (cmr, range) in cmrs.iter_mut().zip(&config.memory) {
        *cmr = Cmr { base: range.base, size: range.size };
    }
    let mut socket_cpuid_table = [0; MAX_PACKAGES];
    socket_cpuid_table[..platform.packages as usize].fill(config.cpuid_1_eax);
    SysInfoTable {
        version: 0,
        tot_num_lps: config.lps.len() as u32,
        tot_num_sockets: platform.packages,
        socket_cpuid_table,
        p_seamldr_range_base: platform.p_seamldr_range().base,
        p_seamldr_range_size: platform.p_seamldr_range().size,
        skip_smrr2_check: 0,
        tdx_ac: 0,
        reserved_0: [0; 62],
        cmrs,
        reserved_1: [0; 1408],
    }
}
