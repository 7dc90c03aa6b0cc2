//! What can be made to go wrong, and where.

use crate::abi::status::NAMES;
use crate::abi::{Leaf, Status};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Name of the leaf, such as `TDH.SYS.SHUTDOWN` or `SEAMLDR.INSTALL`.
    pub leaf: String,
    /// The LP whose calls are meant; none: any LP's.
    #[serde(default)]
    pub lp: Option<usize>,
    /// Which of the matching calls is the first hit, counted from 1. For an internal failure
    /// ([`FaultAction::internal_failure`]) only calls count that come to where it could strike, such as the last of a session.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many matching calls in a row are hit; none: all later ones too.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// Whether the leaf's own work is done first.
    #[serde(default)]
    pub at: FaultPoint,
    /// What happens.
    pub action: FaultAction,
}

fn one() -> u32 {
    1
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FaultPoint {
    /// Instead of the leaf's work.
    #[default]
    Before,
    /// After the leaf's work, hiding its result.
    After,
}

/// What a fault does to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultAction {
    /// RAX gets this value, in place of the leaf's work or over its result, whatever firmware could answer. Three
    /// statuses are internal failures (ENOENTROPY of INSTALL, EINTERRUPT of CLEANUP, `INTERRUPTED_RESUMABLE` of CACHE.WB): they
    /// are put in place of nothing, but the leaf meets the failure where its source does, and does what its source does
    /// then.
    Status(
        #[serde(deserialize_with = "value_or_name")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "schema_of_status"))]
        u64,
    ),
    /// The instruction fails with CF set.
    VmFailInvalid,
    /// The call lasts this many nanoseconds longer, its locks held.
    #[serde(alias = "delay_ns")]
    DelayNs(u64),
    /// The LP never leaves SEAM; its locks stay held.
    NeverReturns,
    /// For this many nanoseconds other LPs see `SYS_SHUTDOWN`; then the call ends with `SYS_BUSY` and all is as before.
    /// Only for TDH.SYS.SHUTDOWN.
    #[serde(alias = "transient_shutdown_ns")]
    TransientShutdownNs(u64),
    /// The new module spoils the first TD while it takes over. Only for TDH.SYS.UPDATE.
    CorruptTd(Corruption),
}

/// Reads a status: in text by its value or by its name, with or without Linux's `TDX_` before it.
fn value_or_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct ValueOrName;
    impl Visitor<'_> for ValueOrName {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the value or the name of a status, such as SYS_BUSY")
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<u64, E> {
            let plain = name.strip_prefix("TDX_").unwrap_or(name);
            let status = NAMES.iter().find(|(known, _)| *known == plain).map(|(_, status)| status.0);
            status.ok_or_else(|| E::custom(format!("no status is called `{name}`; seam-emu/FIDELITY.md lists them")))
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(ValueOrName)
    } else {
        u64::deserialize(deserializer)
    }
}

#[cfg(feature = "schema")]
fn schema_of_status(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    schemars::json_schema!({ "type": ["integer", "string"], "minimum": 0, "examples": names })
}

/// How an update spoils a TD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// One bit of its first private page is flipped.
    FlipBit,
    /// Its first vCPU's registers are zeroed.
    ForgetRegisters,
    /// Its KeyID becomes free and its keys unconfigured.
    DropKeyid,
}

/// Why a fault cannot happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FaultError {
    #[error("no leaf is called `{0}`; leaves are named like TDH.SYS.SHUTDOWN or SEAMLDR.INSTALL")]
    UnknownLeaf(String),
    #[error("there is no LP {lp}: the platform has {lps}")]
    NoSuchLp { lp: usize, lps: usize },
    #[error("nth is counted from 1")]
    NthZero,
    #[error("times of 0 would never strike: leave it out or give a positive number")]
    TimesZero,
    #[error("a transient shutdown window can only open in TDH.SYS.SHUTDOWN, not in {0}")]
    WindowElsewhere(String),
    #[error("a TD can only be spoiled in TDH.SYS.UPDATE, not in {0}")]
    CorruptionElsewhere(String),
    #[error("a transient shutdown window replaces the leaf's work: it cannot come after it")]
    WindowAfter,
    #[error(
        "INSTALL asks for entropy only on the session's last LP, whichever that is: leave `lp` out, and count sessions \
         with `nth`"
    )]
    EntropyOnOneLp,
    #[error("{0} is interrupted during its work, never after it: leave `at` out")]
    InterruptAfter(String),
}

impl FaultAction {
    /// The status, if it is one that the leaf's own work comes to when something outside firmware fails: no entropy in
    /// SEAMLDR.INSTALL (before the SEAM range is touched, or after the new module was loaded, when the SEAM database
    /// gets its entry), and an interrupt in SEAMLDR.CLEANUP or TDH.PHYMEM.CACHE.WB. Source: P-SEAMLDR
    /// `seamldr_install.c` and `seamldr_cleanup.c`, TDX module `tdh_phymem_cache_wb.c`.
    pub(crate) fn internal_failure(self, leaf: Leaf) -> Option<Status> {
        let Self::Status(value) = self else { return None };
        let own = match leaf {
            Leaf::LdrInstall => Status::ENOENTROPY,
            Leaf::LdrCleanup => Status::EINTERRUPT,
            Leaf::PhymemCacheWb => Status::INTERRUPTED_RESUMABLE,
            _ => return None,
        };
        (Status(value) == own).then_some(own)
    }
}

impl Fault {
    /// Whether the fault can happen on a platform with so many LPs.
    pub fn validate(&self, lps: usize) -> Result<(), FaultError> {
        match self.lp {
            Some(lp) if lp >= lps => {
                return Err(FaultError::NoSuchLp { lp, lps });
            }
            _ => {}
        }
        let leaf = Leaf::from_name(&self.leaf).ok_or_else(|| FaultError::UnknownLeaf(self.leaf.clone()))?;
        if matches!(self.action, FaultAction::CorruptTd(_)) && leaf != Leaf::SysUpdate {
            return Err(FaultError::CorruptionElsewhere(self.leaf.clone()));
        }
        if matches!(self.action, FaultAction::TransientShutdownNs(_)) {
            if leaf != Leaf::SysShutdown {
                return Err(FaultError::WindowElsewhere(self.leaf.clone()));
            }
            if self.at == FaultPoint::After {
                return Err(FaultError::WindowAfter);
            }
        }
        match self.action.internal_failure(leaf) {
            Some(Status::ENOENTROPY) if self.lp.is_some() => return Err(FaultError::EntropyOnOneLp),
            Some(Status::ENOENTROPY) | None => {}
            Some(_) if self.at == FaultPoint::After => return Err(FaultError::InterruptAfter(self.leaf.clone())),
            Some(_) => {}
        }
        if self.nth == 0 {
            return Err(FaultError::NthZero);
        }
        if self.times == Some(0) {
            return Err(FaultError::TimesZero);
        }
        Ok(())
    }
}

/// Counts calls and finds the fault that strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Striker {
    /// The faults that `counts` belong to.
    faults: Vec<Fault>,
    /// By fault: matching calls so far.
    counts: Vec<u32>,
}

impl Striker {
    /// No call counted yet.
    pub(crate) fn new(faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), counts: vec![0; faults.len()] }
    }

    /// Takes over the faults of another plan, counted from now on. The same plan keeps its counts.
    pub(crate) fn adopt(&mut self, faults: &[Fault]) {
        if self.faults != faults {
            *self = Self::new(faults);
        }
    }

    /// Counts a call, and returns the fault that strikes it: the first that matches. `exposed`: an internal failure could
    /// strike it, so that it counts for such faults too.
    pub(crate) fn strike(
        &mut self,
        faults: &[Fault],
        leaf: Leaf,
        lp: usize,
        exposed: bool,
    ) -> Option<(FaultPoint, FaultAction)> {
        let mut struck = None;
        for (fault, count) in faults.iter().zip(&mut self.counts) {
            let other_call = fault.leaf != leaf.name() || fault.lp.is_some_and(|only| only != lp);
            if other_call || (!exposed && fault.action.internal_failure(leaf).is_some()) {
                continue;
            }
            *count = count.saturating_add(1);
            let past = *count >= fault.nth;
            let within = fault.times.is_none_or(|times| *count - fault.nth.min(*count) < times);
            if past && within && struck.is_none() {
                struck = Some((fault.at, fault.action));
            }
        }
        struck
    }
}
