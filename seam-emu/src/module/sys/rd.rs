//! TDH.SYS.RD: reads one element of a global metadata field.

use crate::abi::Status;
use crate::abi::field::{Element, FieldId, NO_FIELD, SYS_FIELDS, SysField};
use crate::context::{Context, Outcome};
use crate::generation::allowed_fms;
use crate::image::CpuidConfig;
use crate::module::{Handoff, Identity, Module};
use crate::{Config, Regs};

/// RDX: field id, or all ones for the first. RDX out: next id; R8: value.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let id = FieldId(regs.rdx);
    (regs.rdx, regs.r8) = (NO_FIELD, 0);
    let lp = cx.lp;
    if !cx.module().lp_initialized[lp] {
        return Err(Status::SYS_LP_INIT_NOT_DONE);
    }
    if id.is_none() {
        regs.rdx = Element::FIRST.id().0;
        return Err(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT);
    }
    if !id.is_single_element() {
        return Err(Status::METADATA_FIELD_ID_INCORRECT);
    }
    let fields = cx.module().identity.figures().fields;
    let element = Element::find(id, fields).ok_or(Status::METADATA_FIELD_ID_INCORRECT)?;
    regs.r8 = value(cx, element);
    // Within a run the caller's id counts on, whatever element size it has (`md_get_next_item_with_iterator`).
    let next = element.next(fields);
    regs.rdx =
        next.map_or(NO_FIELD, |next| if next.run == element.run { id.without_context() + 1 } else { next.id().0 });
    Ok(())
}

/// The element's value, cut to its size.
pub(super) fn value(cx: &Context<'_>, element: Element) -> u64 {
    let run = &SYS_FIELDS[element.run];
    let module = cx.world.module.as_ref().expect("a module is reading");
    let raw = raw_value(cx.config, cx.platform.packages, &cx.world.handoff, module, run.name, element.number as usize);
    match run.first.element_bytes() {
        8 => raw,
        bytes => raw & ((1 << (8 * bytes)) - 1),
    }
}

/// The value before it is cut. Constants without a name here are those of the TDX module's headers.
#[expect(clippy::match_same_arms, reason = "fields that happen to be equal are not one field")]
fn raw_value(config: &Config, packages: u32, handoff: &Handoff, module: &Module, field: SysField, n: usize) -> u64 {
    let (identity, built) = (&module.identity, &module.identity.descriptor);
    let figures = identity.figures();
    let cmr = config.memory.get(n);
    match field {
        SysField::NumPkgs => packages.into(),
        SysField::PkgFms => {
            if n < packages as usize {
                config.cpuid_1_eax.into()
            } else {
                0
            }
        }
        SysField::VendorId => 0x8086,
        SysField::BuildDate => decimal(built.build_date).into(),
        SysField::BuildNum => built.build_num.into(),
        SysField::MinorVersion => built.minor.into(),
        SysField::MajorVersion => built.major.into(),
        SysField::UpdateVersion => built.update.into(),
        SysField::InternalVersion => built.internal.into(),
        // Constants of the build; the sigstruct may be stricter (1.5.01 `metadata_sys.c`).
        SysField::ModuleHv => built.module_hv.into(),
        SysField::MinUpdateHv => built.min_update_hv.into(),
        SysField::NoDowngrade => built.no_downgrade.into(),
        SysField::NumHandoffPages => identity.num_handoff_pages.into(),
        SysField::HandoffDataValid => handoff.valid.into(),
        SysField::HandoffDataHv => handoff.hv.into(),
        SysField::HandoffDataSize => handoff.bytes.len() as u64,
        SysField::NumTdxFeatures => 1,
        SysField::TdxFeatures0 => built.features0,
        SysField::NumCmrs => crate::abi::seamldr::MAX_CMRS as u64,
        SysField::CmrBase => cmr.map_or(0, |range| range.base),
        SysField::CmrSize => cmr.map_or(0, |range| range.size),
        SysField::MaxTdmrs => crate::abi::tdmr::MAX_TDMRS,
        SysField::MaxReservedPerTdmr => crate::abi::tdmr::MAX_RESERVED_AREAS as u64,
        SysField::Pamt4kEntrySize | SysField::Pamt2mEntrySize | SysField::Pamt1gEntrySize => {
            crate::abi::tdmr::PAMT_ENTRY_SIZE
        }
        SysField::TdrBaseSize => 4096,
        SysField::TdcsBaseSize => u64::from(built.tdcs_pages) * 4096,
        SysField::TdcsSizePerL2Vm => 4096,
        SysField::TdvpsBaseSize => u64::from(built.tdvps_pages) * 4096,
        SysField::TdvpsSizePerL2Vm => 3 * 4096,
        SysField::AttributesFixed0 => built.attributes_fixed0,
        SysField::AttributesFixed1 => built.attributes_fixed1,
        SysField::XfamFixed0 => built.xfam_fixed0,
        SysField::XfamFixed1 => built.xfam_fixed1,
        SysField::NumCpuidConfig => built.num_cpuid_config.into(),
        SysField::ConfigFlagsFixed0 => built.config_flags_fixed0,
        SysField::ConfigFlagsFixed1 => built.config_flags_fixed1,
        SysField::MaxVcpusPerTd => built.max_vcpus.into(),
        SysField::CpuidConfigLeaves => cpuid_leaf(identity, n),
        SysField::CpuidConfigValues => cpuid_values(identity, n / 2)[n % 2],
        SysField::ArchCapabilitiesConfigMask => 1 << 4 | 1 << 19 | 1 << 20 | 1 << 24,
        SysField::NumAllowedFms => allowed_fms(config.cpuid_1_eax).count() as u64,
        SysField::AllowedFms => allowed_fms(config.cpuid_1_eax).nth(n).map_or(0, u64::from),
        SysField::MaxMigs => 512,
        SysField::NumImmutableStatePages => figures.num_immutable_state_pages.into(),
        SysField::NumTdStatePages => 2,
        SysField::NumVpStatePages => figures.num_vp_state_pages.into(),
        // Seen in a run of 1.5.25; the first two are constants in 1.5.28 `global_constants.h` and 2.0's `tdh_sys_config.c`.
        SysField::MaxEventFilters => 512,
        SysField::MinDynamicPamtNumHkidBits => 4,
        SysField::PamtPageBitmapEntryBits => 1,
        SysField::MinVirtMaxpa => 45,
        SysField::MaxServTds | SysField::VmCtlsFixed0 => 1,
        SysField::ServtdAttrFixed0 => 0x0000_07FF_0000_0001,
        SysField::GuestL2GpaAttrMask => 0x807F,
        SysField::VcpuL2CtlsFixed0 => 0b11,
        SysField::VcpuL2DebugCtlsFixed0 => 0b111,
        SysField::SysAttributes
        | SysField::NumDisallowedFms
        | SysField::DisallowedFms
        | SysField::MigAttributes
        | SysField::MinExportVersion
        | SysField::MaxExportVersion
        | SysField::MinImportVersion
        | SysField::MaxImportVersion
        | SysField::ServtdAttrFixed1
        | SysField::VmCtlsFixed1
        | SysField::VcpuL2CtlsFixed1
        | SysField::VcpuL2DebugCtlsFixed1 => 0,
    }
}

/// Leaf and subleaf of a row of configurable CPUID bits; all ones if there are fewer rows.
fn cpuid_leaf(identity: &Identity, row: usize) -> u64 {
    identity.descriptor.cpuid_rows().get(row).map_or(u64::MAX, CpuidConfig::leaf_and_subleaf)
}

/// EAX and EBX, ECX and EDX of a row of configurable CPUID bits; zeros if there are fewer rows.
fn cpuid_values(identity: &Identity, row: usize) -> [u64; 2] {
    let figures = identity.figures();
    if figures.rd_direct_only {
        return figures.cpuid_config.get(row).map_or([0; 2], |bits| bits.direct.values());
    }
    identity.descriptor.cpuid_rows().get(row).map_or([0; 2], CpuidConfig::values)
}

/// A date in BCD, 0xYYYYMMDD, as the decimal number YYYYMMDD: the form of metadata. Source: TDX module `proj_defs.mk`
/// (`date +%Y%m%d`).
pub(super) fn decimal(bcd: u32) -> u32 {
    (0..8).rev().fold(0, |number, digit| number * 10 + (bcd >> (4 * digit) & 0xF))
}
