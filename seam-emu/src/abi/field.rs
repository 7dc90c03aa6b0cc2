//! Metadata field ids and the module's global fields. Source: TDX module `tdx_api_defs.h` (`md_field_id_t`) and
//! `global_sys_fields_lookup.c` of 1.5.01, 1.5.05 and 1.5.34.

use serde::{Deserialize, Serialize};

/// No field: "the first" as an input, "there is none after it" as an output.
pub const NO_FIELD: u64 = u64::MAX;
/// Context code bits, ignored where the leaf implies the context.
const CONTEXT_MASK: u64 = 0b111 << 52;
/// Reserved bits, and the two "last" counts, that are 0 in the id of a single element.
const SINGLE_ELEMENT_ZERO: u64 = 0xFF00_0000 | 0xF << 34 | 0x1FF << 38 | 0b111 << 47 | 1 << 55 | 1 << 62;

/// A metadata field id as it is passed in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldId(pub u64);

impl FieldId {
    /// Bits 23:0.
    pub const fn code(self) -> u32 {
        self.0 as u32 & 0xFF_FFFF
    }

    /// Bits 61:56.
    pub const fn class(self) -> u8 {
        (self.0 >> 56) as u8 & 0x3F
    }

    /// Bytes of an element, from bits 33:32.
    pub const fn element_bytes(self) -> u32 {
        1 << ((self.0 >> 32) & 0b11)
    }

    /// The id without its context code.
    pub const fn without_context(self) -> u64 {
        self.0 & !CONTEXT_MASK
    }

    /// All ones, the context code aside.
    pub const fn is_none(self) -> bool {
        self.0 | CONTEXT_MASK == NO_FIELD
    }

    /// Whether reserved bits and both "last" counts are 0.
    pub const fn is_single_element(self) -> bool {
        self.0 & SINGLE_ELEMENT_ZERO == 0
    }

    /// What identifies a field: class, then code.
    const fn key(self) -> u64 {
        (self.class() as u64) << 24 | self.code() as u64
    }
}

/// Which global fields a module has: those of 1.5.01, and what came later. Each set has all of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldSet {
    /// Those of 1.5.01.
    #[default]
    Original,
    /// From 1.5.05: `MAX_VCPUS_PER_TD`.
    MaxVcpus,
    /// From 1.5.16: what tells of the virtual address width and of event filters.
    EventFilters,
    /// In 1.5.25: what tells of dynamic PAMT.
    DynamicPamt,
}

/// A run of fields with consecutive codes.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Name in the specification.
    pub name: SysField,
    /// Id of the first element of the first field.
    pub first: FieldId,
    /// Number of fields.
    pub fields: u32,
    /// Elements of each field.
    pub elements: u32,
    /// The first set that has it.
    pub since: FieldSet,
}

/// Where an element lies: its run, and its number within the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Index into [`SYS_FIELDS`].
    pub run: usize,
    /// Number of the element, counted over all fields of the run.
    pub number: u32,
}

/// Defines the global fields.
macro_rules! sys_fields {
    (@since) => { FieldSet::Original };
    (@since $since:ident) => { FieldSet::$since };
    ($($name:ident = $id:expr, $fields:expr, $elements:expr $(, $since:ident)?;)*) => {
        /// Global-scope fields of the module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the specification's own")]
        pub enum SysField { $($name,)* }

        /// All global-scope fields of any module, by class and code.
        pub const SYS_FIELDS: &[Fields] = &[
            $(Fields {
                name: SysField::$name,
                first: FieldId($id),
                fields: $fields,
                elements: $elements,
                since: sys_fields!(@since $($since)?),
            },)*
        ];
    };
}

sys_fields! {
    NumPkgs = 0x0000_0002_0000_0000, 1, 1;
    PkgFms = 0x0000_0002_0000_0001, 8, 1;
    VendorId = 0x0800_0002_0000_0000, 1, 1;
    BuildDate = 0x8800_0002_0000_0001, 1, 1;
    BuildNum = 0x8800_0001_0000_0002, 1, 1;
    MinorVersion = 0x0800_0001_0000_0003, 1, 1;
    MajorVersion = 0x0800_0001_0000_0004, 1, 1;
    UpdateVersion = 0x0800_0001_0000_0005, 1, 1;
    InternalVersion = 0x0800_0001_0000_0006, 1, 1;
    ModuleHv = 0x8900_0001_0000_0000, 1, 1;
    MinUpdateHv = 0x8900_0001_0000_0001, 1, 1;
    NoDowngrade = 0x8900_0000_0000_0002, 1, 1;
    NumHandoffPages = 0x8900_0001_0000_0003, 1, 1;
    HandoffDataValid = 0x8900_0000_0000_0004, 1, 1;
    HandoffDataHv = 0x8900_0001_0000_0005, 1, 1;
    HandoffDataSize = 0x8900_0002_0000_0006, 1, 1;
    SysAttributes = 0x0A00_0002_0000_0000, 1, 1;
    NumTdxFeatures = 0x0A00_0000_0000_0001, 1, 1;
    TdxFeatures0 = 0x0A00_0003_0000_0008, 1, 1;
    NumCmrs = 0x9000_0001_0000_0000, 1, 1;
    CmrBase = 0x9000_0003_0000_0080, 32, 1;
    CmrSize = 0x9000_0003_0000_0100, 32, 1;
    MaxTdmrs = 0x9100_0001_0000_0008, 1, 1;
    MaxReservedPerTdmr = 0x9100_0001_0000_0009, 1, 1;
    Pamt4kEntrySize = 0x9100_0001_0000_0010, 1, 1;
    Pamt2mEntrySize = 0x9100_0001_0000_0011, 1, 1;
    Pamt1gEntrySize = 0x9100_0001_0000_0012, 1, 1;
    PamtPageBitmapEntryBits = 0x9100_0000_0000_0013, 1, 1, DynamicPamt;
    MinDynamicPamtNumHkidBits = 0x9100_0000_0000_0014, 1, 1, DynamicPamt;
    TdrBaseSize = 0x9800_0001_0000_0000, 1, 1;
    TdcsBaseSize = 0x9800_0001_0000_0100, 1, 1;
    TdcsSizePerL2Vm = 0x9800_0001_0000_0101, 1, 1;
    TdvpsBaseSize = 0x9800_0001_0000_0200, 1, 1;
    TdvpsSizePerL2Vm = 0x9800_0001_0000_0201, 1, 1;
    AttributesFixed0 = 0x1900_0003_0000_0000, 1, 1;
    AttributesFixed1 = 0x1900_0003_0000_0001, 1, 1;
    XfamFixed0 = 0x1900_0003_0000_0002, 1, 1;
    XfamFixed1 = 0x1900_0003_0000_0003, 1, 1;
    NumCpuidConfig = 0x9900_0001_0000_0004, 1, 1;
    ConfigFlagsFixed0 = 0x9900_0003_0000_0006, 1, 1;
    ConfigFlagsFixed1 = 0x9900_0003_0000_0007, 1, 1;
    MaxVcpusPerTd = 0x9900_0001_0000_0008, 1, 1, MaxVcpus;
    MinVirtMaxpa = 0x9900_0000_0000_0009, 1, 1, EventFilters;
    MaxEventFilters = 0x9900_0001_0000_000A, 1, 1, EventFilters;
    CpuidConfigLeaves = 0x9900_0003_0000_0400, 32, 1;
    CpuidConfigValues = 0x9900_0003_0000_0500, 32, 2;
    ArchCapabilitiesConfigMask = 0x9900_0003_0000_0600, 1, 1;
    NumAllowedFms = 0x9900_0001_0000_0800, 1, 1;
    NumDisallowedFms = 0x9900_0001_0000_0801, 1, 1;
    AllowedFms = 0x9900_0003_0000_0810, 64, 1;
    DisallowedFms = 0x9900_0003_0000_0850, 64, 1;
    MigAttributes = 0xA000_0003_0000_0000, 1, 1;
    MinExportVersion = 0x2000_0001_0000_0001, 1, 1;
    MaxExportVersion = 0x2000_0001_0000_0002, 1, 1;
    MinImportVersion = 0x2000_0001_0000_0003, 1, 1;
    MaxImportVersion = 0x2000_0001_0000_0004, 1, 1;
    MaxMigs = 0xA000_0001_0000_0010, 1, 1;
    NumImmutableStatePages = 0xA000_0000_0000_0020, 1, 1;
    NumTdStatePages = 0xA000_0000_0000_0021, 1, 1;
    NumVpStatePages = 0xA000_0000_0000_0022, 1, 1;
    MaxServTds = 0xA100_0001_0000_0000, 1, 1;
    ServtdAttrFixed0 = 0xA100_0003_0000_0001, 1, 1;
    ServtdAttrFixed1 = 0xA100_0003_0000_0002, 1, 1;
    GuestL2GpaAttrMask = 0xA200_0001_0000_0000, 1, 1;
    VmCtlsFixed0 = 0xA200_0003_0000_0001, 1, 1;
    VmCtlsFixed1 = 0xA200_0003_0000_0002, 1, 1;
    VcpuL2CtlsFixed0 = 0xA200_0003_0000_0003, 1, 1;
    VcpuL2CtlsFixed1 = 0xA200_0003_0000_0004, 1, 1;
    VcpuL2DebugCtlsFixed0 = 0xA200_0003_0000_0005, 1, 1;
    VcpuL2DebugCtlsFixed1 = 0xA200_0003_0000_0006, 1, 1;
}

impl Fields {
    /// Elements in all fields of the run.
    pub const fn len(&self) -> u32 {
        self.fields * self.elements
    }

    /// Whether the run has no element; none has.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Element {
    /// The first of all.
    pub const FIRST: Self = Self { run: 0, number: 0 };

    /// The element of the set that an id names: class and code count, all else is ignored.
    pub fn find(id: FieldId, set: FieldSet) -> Option<Self> {
        let after = SYS_FIELDS.partition_point(|run| run.first.key() <= id.key());
        let run = after.checked_sub(1)?;
        let fields = &SYS_FIELDS[run];
        let number = (id.key() - fields.first.key()) as u32;
        (number < fields.len() && fields.since <= set).then_some(Self { run, number })
    }

    /// Its id.
    pub fn id(self) -> FieldId {
        FieldId(SYS_FIELDS[self.run].first.0 + u64::from(self.number))
    }

    /// The next one of the set.
    pub fn next(self, set: FieldSet) -> Option<Self> {
        if self.number + 1 < SYS_FIELDS[self.run].len() {
            return Some(Self { number: self.number + 1, ..self });
        }
        let mut later = SYS_FIELDS.iter().enumerate().skip(self.run + 1);
        later.find(|(_, run)| run.since <= set).map(|(run, _)| Self { run, number: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(SYS_FIELDS.windows(2).all(|pair| pair[0].first.key() < pair[1].first.key()));
    }

    const SETS: [FieldSet; 4] = [FieldSet::Original, FieldSet::MaxVcpus, FieldSet::EventFilters, FieldSet::DynamicPamt];

    #[test]
    fn every_element_is_found_and_followed_by_its_successor() {
        for (set, elements) in SETS.into_iter().zip([354, 355, 357, 359]) {
            let mut at = Some(Element::FIRST);
            let mut count = 0;
            while let Some(element) = at {
                assert_eq!(Element::find(element.id(), set), Some(element));
                at = element.next(set);
                count += 1;
            }
            assert_eq!(count, elements, "{set:?}");
        }
    }

    #[test]
    fn ids_in_gaps_are_not_found() {
        for id in [0x0800_0001_0000_0007, 0x9900_0001_0000_0005, 0x9900_0003_0000_0420, 0x0B00_0000_0000_0000] {
            assert_eq!(Element::find(FieldId(id), FieldSet::DynamicPamt), None, "{id:#x}");
        }
    }

    #[test]
    fn fields_of_later_modules_are_not_found() {
        for (id, since) in [(0x9900_0001_0000_0008, 1), (0x9900_0001_0000_000A, 2), (0x9100_0000_0000_0013, 3)] {
            let found = SETS.map(|set| Element::find(FieldId(id), set).is_some());
            assert_eq!(found, [since < 1, since < 2, since < 3, since < 4], "{id:#x}");
        }
    }
}
