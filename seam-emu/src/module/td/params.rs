//! Checks of what the VMM wants a TD to be. Source: TDX module `tdh_mng_init.c`.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::abi::td_params::TdParams;
use crate::image::Descriptor;
use serde::{Deserialize, Serialize};

/// What TDH.MNG.INIT took from [`TdParams`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    pub(crate) max_vcpus: u16,
    pub(crate) eptp_controls: u64,
    pub(crate) config_flags: u64,
    pub(crate) tsc_frequency: u16,
    /// MRCONFIGID, MROWNER, MROWNERCONFIG.
    pub(crate) ids: Vec<u8>,
    /// Leaf, subleaf, and configured EAX to EDX.
    pub(crate) cpuid: Vec<[u32; 6]>,
}

impl Settings {
    /// Bit of the guest-physical address that makes it shared: 47, or 51 with `GPAW`.
    pub(crate) fn shared_bit(&self) -> u64 {
        1 << if self.config_flags & 1 != 0 { 51 } else { 47 }
    }

    /// Level of the entries in the secure EPT's root table.
    pub(crate) fn root_level(&self) -> u8 {
        ((self.eptp_controls >> 3) & 0b111) as u8
    }

    /// Checks what the VMM wants, in the source's order.
    pub(crate) fn check(params: &TdParams, built: &Descriptor, rcx: &mut u64) -> Result<Self, Status> {
        let bad = |operand| Status::OPERAND_INVALID.operand(operand);
        let outside = |value: u64, fixed0: u64, fixed1: u64| value & !fixed0 != 0 || !value & fixed1 != 0;
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if outside(params.attributes, built.attributes_fixed0, built.attributes_fixed1) {
            return Err(bad(Operand::Attributes));
        }
        if outside(params.xfam, built.xfam_fixed0, built.xfam_fixed1) {
            return Err(bad(Operand::Xfam));
        }
        if params.max_vcpus == 0 || params.max_vcpus > built.max_vcpus {
            return Err(bad(Operand::MaxVcpus));
        }
        // TDs with nested VMs are not modelled: their number must be 0.
        if params.num_l2_vms != 0 || !zero(&params.reserved_0) || params.msr_config_ctls != 0 {
            return Err(bad(Operand::Rdx));
        }
        if outside(params.config_flags, built.config_flags_fixed0, built.config_flags_fixed1) {
            return Err(bad(Operand::ExecControls));
        }
        if !eptp_is_valid(params.eptp_controls, params.config_flags & 1 != 0) {
            return Err(bad(Operand::EptpControls));
        }
        // 100 MHz to 10 GHz.
        if !(4..=400).contains(&params.tsc_frequency) {
            return Err(bad(Operand::TscFrequency));
        }
        if !zero(&params.reserved_1) || !zero(&params.reserved_2) || params.arch_capabilities_config != 0 {
            return Err(bad(Operand::Rdx));
        }
        let cpuid = check_cpuid(params, built, rcx)?;
        if !zero(&params.reserved_3) {
            return Err(bad(Operand::Rdx));
        }
        Ok(Self {
            attributes: params.attributes,
            xfam: params.xfam,
            max_vcpus: params.max_vcpus,
            eptp_controls: params.eptp_controls,
            config_flags: params.config_flags,
            tsc_frequency: params.tsc_frequency,
            ids: [params.mr_config_id, params.mr_owner, params.mr_owner_config].concat(),
            cpuid,
        })
    }
}

/// Write-back memory type, a walk of 4 or 5 levels (5 with `GPAW`), nothing else.
fn eptp_is_valid(eptp: u64, wide: bool) -> bool {
    let (memory_type, levels) = (eptp & 0b111, (eptp >> 3) & 0b111);
    memory_type == 6 && (levels == 4 || (levels == 3 && !wide)) && eptp >> 6 == 0
}

/// Only configurable bits may be set; unused rows are zero. On error RCX tells leaf and subleaf.
fn check_cpuid(params: &TdParams, built: &Descriptor, rcx: &mut u64) -> Result<Vec<[u32; 6]>, Status> {
    let used = usize::from(built.num_cpuid_config);
    let mut cpuid = Vec::with_capacity(used);
    for (config, values) in built.cpuid_config[..used].iter().zip(&params.cpuid_values) {
        let configurable = [config.eax, config.ebx, config.ecx, config.edx];
        if values.iter().zip(configurable).any(|(value, mask)| value & !mask != 0) {
            *rcx = config.leaf_and_subleaf();
            return Err(Status::OPERAND_INVALID.operand(Operand::CpuidConfig));
        }
        cpuid.push([config.leaf, config.subleaf, values[0], values[1], values[2], values[3]]);
    }
    if params.cpuid_values[used..].iter().flatten().any(|value| *value != 0) {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rdx));
    }
    Ok(cpuid)
}
