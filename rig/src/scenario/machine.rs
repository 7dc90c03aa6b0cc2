//! Which machine a scenario runs in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How SEAMCALLs reach the emulated firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The best that works here for the subject.
    #[default]
    Auto,
    /// QEMU TCG with the plugin.
    Tcg,
    /// QEMU KVM, with a shim in the guest.
    Kvm,
    /// QEMU TCG without the plugin, with the shim of KVM's guests: for trying that way where KVM is missing.
    TcgShim,
}

/// What time is for a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The host's clock, and a host thread for each vCPU: real concurrency.
    #[default]
    Parallel,
    /// Counted instructions, and one host thread: the same run every time, bit for bit.
    Deterministic,
}

impl Clock {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Deterministic => "deterministic",
        }
    }
}
