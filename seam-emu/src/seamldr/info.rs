//! SEAMLDR.INFO: tells about P-SEAMLDR and the module.

use crate::abi::Status;
use crate::abi::seamldr::{FEATURE_CLEANUP, SeamLdrInfo};
use crate::context::{Context, Outcome};
use crate::{LoaderGeneration, Regs};

/// RCX: address of 256 bytes, aligned to 256, shared.
pub(super) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let pa = cx.platform.shared_pa(regs.rcx, size_of::<SeamLdrInfo>() as u64).ok_or(Status::EBADPARAM)?;
    if cx.world.loader.remaining_updates == 0 {
        cx.world.loader.remaining_updates = cx.world.seamdb.free();
    }
    let (major, minor, update) = version(cx.config.loader);
    let info = SeamLdrInfo {
        version: 0,
        attributes: 0,
        vendor_id: 0x8086,
        build_date: 0x2025_0401,
        build_num: 1,
        minor,
        major,
        update,
        acm_x2apicid: cx.config.acm_x2apicid,
        num_remaining_updates: cx.world.loader.remaining_updates,
        seamextend: cx.world.seamextend.clone(),
        features0: if cx.config.loader >= LoaderGeneration::V1_5_02 { FEATURE_CLEANUP } else { 0 },
        reserved: [0; 80],
    };
    cx.write_as(pa, &info);
    Ok(())
}

/// Major, minor and update version. Linux reads an update version; P-SEAMLDR's published source, 1.5.02, has reserved bits
/// there and leaves them 0.
fn version(loader: LoaderGeneration) -> (u16, u16, u16) {
    match loader {
        LoaderGeneration::V1_0 => (1, 0, 0),
        LoaderGeneration::V1_5 | LoaderGeneration::V1_5_02 => (1, 5, 0),
        LoaderGeneration::V2_0 => (2, 0, 0),
    }
}
