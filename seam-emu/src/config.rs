//! The emulated platform, as data.

use crate::abi::Leaf;
use crate::abi::seamldr::MAX_PACKAGES;
use crate::{Durations, Fault};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most LPs that P-SEAMLDR's per-LP bitmaps hold (`MAX_NUM_OF_LPS` of the public loader).
pub const MAX_LPS: usize = 1024;

/// Bits of a KeyID in the module's tables and operands.
const MAX_KEYID_BITS: u8 = 16;

/// The platform and its firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// All LPs of the platform, whether the operating system uses them or not; the index is the LP's number.
    pub lps: Vec<LogicalProcessor>,
    /// x2APIC id of the LP that ran the loader's ACM, and that must be last in SEAMLDR.SHUTDOWN.
    pub acm_x2apicid: u32,
    /// Number of MKTME KeyIDs, which precede the TDX ones; KeyID 0 is not counted.
    pub mktme_keyids: u32,
    /// Number of TDX KeyIDs, at least 2.
    pub tdx_keyids: u32,
    /// Bits of a physical address below the KeyID.
    pub physical_address_bits: u8,
    /// Convertible memory: what the CMRs describe, ascending and disjoint.
    pub memory: Vec<MemoryRange>,
    /// The SEAM range; no guest RAM may overlap it. Base and size as the SEAMRR MSRs can express them.
    pub seamrr: MemoryRange,
    /// Which P-SEAMLDR is loaded.
    pub loader: LoaderGeneration,
    /// Free entries of the SEAM database at start.
    pub remaining_updates: u32,
    /// SHA-384 hashes of signing keys (the modulus as in the sigstruct) that are trusted besides the test key.
    pub trusted_key_hashes: Vec<KeyHash>,
    /// The platform is unlocked for modules with a debug signature.
    pub debug_unlocked: bool,
    /// CPUID leaf 1 EAX, looked up in the sigstruct's CPUID table with the stepping masked.
    pub cpuid_1_eax: u32,
    /// Instructions that a scripted TD executes in one entry before its time slice ends.
    pub script_steps: u32,
    /// A TD's vCPU whose initial RCX leads to no script runs machine code: TDH.VP.ENTER gives [`crate::Reply::Enter`], and
    /// the caller brings the processor. Without it such a vCPU only halts.
    #[serde(skip_serializing_if = "is_false")]
    pub machine_code: bool,
    /// How long calls last.
    pub durations: Durations,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// A logical processor (a hardware thread).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogicalProcessor {
    /// x2APIC id, unique.
    pub apic_id: u32,
    /// Number of its package, counted from 0 without gaps.
    pub package: u32,
}

/// `[base, base + size)` of physical memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRange {
    /// First byte.
    pub base: u64,
    /// Number of bytes.
    pub size: u64,
}

impl MemoryRange {
    /// First byte after the range.
    pub const fn end(&self) -> u64 {
        self.base + self.size
    }

    /// Whether `[base, base + size)` lies in the range.
    pub fn holds(&self, base: u64, size: u64) -> bool {
        base >= self.base && base.checked_add(size).is_some_and(|end| end <= self.end())
    }

    /// Whether any byte of `[base, base + size)` lies in the range.
    pub fn overlaps(&self, base: u64, size: u64) -> bool {
        base < self.end() && base.saturating_add(size) > self.base
    }
}

/// Generations of P-SEAMLDR that differ in what they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoaderGeneration {
    /// 1.0: no UPDATE scenario is promised to work across major SVNs.
    V1_0,
    /// 1.5 before 1.5.02.
    V1_5,
    /// 1.5.02: CLEANUP, `ECLEANUPREQ` and `EUNSUPPORTED` are new.
    V1_5_02,
    /// 2.0: takes modules of the 2.0 series, whose sigstructs tell their version; else as 1.5.02 (unverified).
    V2_0,
}

/// SHA-384 of an RSA modulus, written as 96 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(#[serde(with = "hex::serde")] pub [u8; 48]);

/// What is off is not written, so that configurations without it have the hash that they had.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(switch: &bool) -> bool {
    !switch
}

impl Default for Config {
    fn default() -> Self {
        Self::for_lps(4)
    }
}

impl Config {
    /// A platform of `n` LPs in one package, x2APIC ids from 0, with 2 GB of memory.
    pub fn for_lps(n: usize) -> Self {
        Self {
            lps: (0..n).map(|lp| LogicalProcessor { apic_id: lp as u32, package: 0 }).collect(),
            acm_x2apicid: 0,
            mktme_keyids: 31,
            tdx_keyids: 32,
            physical_address_bits: 46,
            memory: vec![MemoryRange { base: 1 << 20, size: (2 << 30) - (1 << 20) }],
            seamrr: MemoryRange { base: 0x20_0000_0000, size: 128 << 20 },
            loader: LoaderGeneration::V1_5_02,
            remaining_updates: 16,
            trusted_key_hashes: Vec::new(),
            debug_unlocked: false,
            cpuid_1_eax: 0x000C_06F2,
            script_steps: 1000,
            machine_code: false,
            durations: Durations::default(),
            faults: Vec::new(),
        }
    }

    /// Whether a platform like this can exist and every fault can happen on it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_lps()?;
        self.validate_memory()?;
        if self.script_steps == 0 {
            return Err(ConfigError::NoSteps);
        }
        if self.tdx_keyids < 2 {
            return Err(ConfigError::TooFewKeyIds(self.tdx_keyids));
        }
        let keyids = 1 + u64::from(self.mktme_keyids) + u64::from(self.tdx_keyids);
        let bits = self.physical_address_bits;
        if !(32..=52).contains(&bits) || keyids > 1 << (52 - bits).min(MAX_KEYID_BITS) {
            return Err(ConfigError::KeyIdsDoNotFit { keyids, bits });
        }
        if let Some(name) = self.durations.leaf_ns.keys().find(|name| Leaf::from_name(name).is_none()) {
            return Err(ConfigError::UnknownLeaf(name.clone()));
        }
        for (index, fault) in self.faults.iter().enumerate() {
            fault.validate(self.lps.len()).map_err(|cause| ConfigError::Fault { index, cause })?;
        }
        Ok(())
    }

    fn validate_lps(&self) -> Result<(), ConfigError> {
        if self.lps.is_empty() || self.lps.len() > MAX_LPS {
            return Err(ConfigError::LpCount(self.lps.len()));
        }
        if let Some(lp) = self.lps.iter().find(|lp| lp.package >= MAX_PACKAGES as u32) {
            return Err(ConfigError::TooManyPackages(lp.package));
        }
        let mut ids: Vec<u32> = self.lps.iter().map(|lp| lp.apic_id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicateApicId(pair[0]));
        }
        if ids.binary_search(&self.acm_x2apicid).is_err() {
            return Err(ConfigError::NoSuchAcmLp(self.acm_x2apicid));
        }
        let packages = self.packages();
        match (0..packages).find(|package| self.lps.iter().all(|lp| lp.package != *package)) {
            Some(package) => Err(ConfigError::EmptyPackage(package)),
            None => Ok(()),
        }
    }

    fn validate_memory(&self) -> Result<(), ConfigError> {
        let mut end = 0;
        for range in &self.memory {
            let fits = range.base.checked_add(range.size).is_some_and(|e| e <= 1 << self.physical_address_bits.min(52));
            if range.size == 0 || !fits || (range.base | range.size) % 4096 != 0 || range.base < end {
                return Err(ConfigError::Memory(*range));
            }
            if range.overlaps(self.seamrr.base, self.seamrr.size) {
                return Err(ConfigError::SeamRangeInRam(*range));
            }
            end = range.end();
        }
        let seamrr = self.seamrr;
        let in_reach =
            seamrr.base.checked_add(seamrr.size).is_some_and(|e| e <= 1 << self.physical_address_bits.min(52));
        // SEAMRR's mask selects a naturally aligned power of two, at least 32 MB.
        if !seamrr.size.is_power_of_two()
            || seamrr.size < 32 << 20
            || !seamrr.base.is_multiple_of(seamrr.size)
            || !in_reach
        {
            return Err(ConfigError::SeamRange(seamrr));
        }
        if self.memory.is_empty() || self.memory.len() > 32 {
            return Err(ConfigError::MemoryCount(self.memory.len()));
        }
        Ok(())
    }

    /// Number of packages.
    pub fn packages(&self) -> u32 {
        self.lps.iter().map(|lp| lp.package + 1).max().unwrap_or(0)
    }
}

/// Why a [`Config`] describes no possible platform.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConfigError {
    #[error("{0} LPs: a platform has 1 to {MAX_LPS}")]
    LpCount(usize),
    #[error("package {0}: P-SEAMLDR knows at most {MAX_PACKAGES} packages")]
    TooManyPackages(u32),
    #[error("two LPs have x2APIC id {0}: give each its own")]
    DuplicateApicId(u32),
    #[error("acm_x2apicid {0} is no LP's: name the x2APIC id of an LP")]
    NoSuchAcmLp(u32),
    #[error("package {0} has no LP: number packages from 0 without gaps")]
    EmptyPackage(u32),
    #[error("{0} TDX KeyIDs: at least 2 are needed, one of them for the module itself")]
    TooFewKeyIds(u32),
    #[error("{keyids} KeyIDs do not fit above {bits} physical address bits (at most 52 in all, 16 of a KeyID)")]
    KeyIdsDoNotFit { keyids: u64, bits: u8 },
    #[error("memory range {0:x?} is empty, unaligned to 4096, out of order or beyond the physical address bits")]
    Memory(MemoryRange),
    #[error("{0} memory ranges: 1 to 32 CMRs are possible")]
    MemoryCount(usize),
    #[error("SEAM range {0:x?} must be a power of two of at least 32 MB, naturally aligned, within the address bits")]
    SeamRange(MemoryRange),
    #[error("memory range {0:x?} overlaps the SEAM range: move the SEAM range above RAM")]
    SeamRangeInRam(MemoryRange),
    #[error("script_steps of 0 lets no TD run: give a positive number")]
    NoSteps,
    #[error("durations name the leaf `{0}`, which does not exist; leaves are named like TDH.SYS.SHUTDOWN")]
    UnknownLeaf(String),
    #[error("fault number {}: {cause}", index + 1)]
    Fault { index: usize, cause: crate::faults::FaultError },
}
