//! Checks of what the VMM wants a TD to be. Source: TDX module `tdh_mng_init.c`.

use super::cpuid::{self, Traits};
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::abi::td_params::TdParams;
use crate::image::Descriptor;
use serde::{Deserialize, Serialize};

/// ATTRIBUTES bits. `SEPT_VE_DISABLE`: accesses to pages that are not accepted leave to the VMM.
const DEBUG: u64 = 1;
const SEPT_VE_DISABLE: u64 = 1 << 28;
const MIGRATABLE: u64 = 1 << 29;
pub(crate) const PERFMON: u64 = 1 << 63;
/// Most nested VMs of a TD.
const MAX_L2_VMS: u8 = 3;
/// Bits of `IA32_ARCH_CAPABILITIES` that a VMM may configure (`init_virt_ia32_arch_capabilities`).
const ARCH_CAPABILITIES: u64 = 1 << 4 | 1 << 19 | 1 << 20 | 1 << 24;

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
    /// What was configured of `IA32_ARCH_CAPABILITIES`.
    pub(crate) arch_capabilities: u64,
    /// Leaf, subleaf, and EAX to EDX as the TD sees them, of the rows that can be configured.
    pub(crate) cpuid: Vec<[u32; 6]>,
}

impl Settings {
    /// Bit of the guest-physical address that makes it shared: 47, or 51 with `GPAW`.
    pub(crate) fn shared_bit(&self) -> u64 {
        1 << if self.config_flags & 1 != 0 { 51 } else { 47 }
    }

    /// What CPUID depends on, on a platform with this CPUID(1).EAX.
    pub(crate) fn traits(&self, platform_eax: u32) -> Traits {
        Traits { attributes: self.attributes, xfam: self.xfam, tsc_frequency: self.tsc_frequency, platform_eax }
    }

    /// Whether an access to a page that it has not accepted gives the TD a #VE (no `SEPT_VE_DISABLE`).
    pub(crate) fn gets_ve_for_pending(&self) -> bool {
        self.attributes & SEPT_VE_DISABLE == 0
    }

    /// Level of the entries in the secure EPT's root table.
    pub(crate) fn root_level(&self) -> u8 {
        ((self.eptp_controls >> 3) & 0b111) as u8
    }

    /// Checks what the VMM wants, in the source's order.
    pub(crate) fn check(params: &TdParams, host: &Host<'_>, rcx: &mut u64) -> Result<Self, Status> {
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        check_controls(params, host)?;
        // The flag that IA32_ARCH_CAPABILITIES is configured; the other bits are reserved.
        if !zero(&params.reserved_1) || params.msr_config_ctls & !1 != 0 || !zero(&params.reserved_2) {
            return Err(bad(Operand::Rdx));
        }
        let used = usize::from(host.built.num_cpuid_config);
        let traits = Traits {
            attributes: params.attributes,
            xfam: params.xfam,
            tsc_frequency: params.tsc_frequency,
            platform_eax: host.cpuid_1_eax,
        };
        let configs = &host.built.cpuid_config[..used];
        let cpuid = cpuid::configure(&traits, configs, &params.cpuid_values[..used], rcx)?;
        if params.cpuid_values[used..].iter().flatten().any(|value| *value != 0) || !zero(&params.reserved_3) {
            return Err(bad(Operand::Rdx));
        }
        let capabilities = if params.msr_config_ctls & 1 == 0 { 0 } else { ARCH_CAPABILITIES };
        if params.arch_capabilities_config & !capabilities != 0 {
            return Err(bad(Operand::ArchCapabilitiesConfig));
        }
        Ok(Self {
            attributes: params.attributes,
            xfam: params.xfam,
            max_vcpus: params.max_vcpus,
            eptp_controls: params.eptp_controls,
            config_flags: params.config_flags,
            tsc_frequency: params.tsc_frequency,
            ids: [params.mr_config_id, params.mr_owner, params.mr_owner_config].concat(),
            arch_capabilities: params.arch_capabilities_config,
            cpuid,
        })
    }
}

/// What a TD is checked against.
pub(crate) struct Host<'a> {
    pub(crate) built: &'a Descriptor,
    /// CPUID(1).EAX.
    pub(crate) cpuid_1_eax: u32,
    /// Pages of the TDCS that the TD has.
    pub(crate) tdcs_pages: usize,
}

fn bad(operand: Operand) -> Status {
    Status::OPERAND_INVALID.operand(operand)
}

/// The first half: `read_and_set_td_configurations`.
fn check_controls(params: &TdParams, host: &Host<'_>) -> Result<(), Status> {
    let built = host.built;
    let outside = |value: u64, fixed0: u64, fixed1: u64| value & !fixed0 != 0 || !value & fixed1 != 0;
    let (attributes, xfam) = (params.attributes, params.xfam);
    let unfit = attributes & MIGRATABLE != 0 && attributes & (DEBUG | PERFMON) != 0;
    if outside(attributes, built.attributes_fixed0, built.attributes_fixed1) || unfit {
        return Err(bad(Operand::Attributes));
    }
    if outside(xfam, built.xfam_fixed0, built.xfam_fixed1) || !features_fit(xfam) {
        return Err(bad(Operand::Xfam));
    }
    if params.max_vcpus == 0 || params.max_vcpus > built.max_vcpus {
        return Err(bad(Operand::MaxVcpus));
    }
    if params.num_l2_vms > MAX_L2_VMS {
        return Err(bad(Operand::NumL2Vms));
    }
    if host.tdcs_pages < usize::from(built.tdcs_pages) + usize::from(params.num_l2_vms) {
        return Err(Status::TDCS_NOT_ALLOCATED);
    }
    // TDs with nested VMs are not modelled, whatever pages they have.
    if params.num_l2_vms != 0 {
        return Err(bad(Operand::NumL2Vms));
    }
    if params.reserved_0.iter().any(|byte| *byte != 0) {
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
    Ok(())
}

/// Extended features that need each other have each other (`check_xfam`).
fn features_fit(xfam: u64) -> bool {
    let bit = |n: u32| xfam >> n & 1;
    let avx512 = (bit(5) <= bit(2)) && bit(5) == bit(6) && bit(5) == bit(7);
    avx512 && bit(11) == bit(12) && bit(17) == bit(18)
}

/// Write-back memory type, a walk of 4 or 5 levels (5 with `GPAW`), nothing else.
fn eptp_is_valid(eptp: u64, wide: bool) -> bool {
    let (memory_type, levels) = (eptp & 0b111, (eptp >> 3) & 0b111);
    memory_type == 6 && (levels == 4 || (levels == 3 && !wide)) && eptp >> 6 == 0
}
