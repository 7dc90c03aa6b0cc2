//! Deliberate errors, those of `guest-kmod/twins.c` by the same names and two of the model's own.

use crate::Invariant;

/// One deliberate error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Twin {
    /// The step advances when one CPU has yet to acknowledge it.
    EarlyAdvance,
    /// The counter is reset after the new step is there to be seen.
    LateReset,
    /// The counter is incremented by a load and a store, without a lock.
    LostAck,
    /// A CPU acknowledges, then works.
    AckBeforeWork,
    /// The last CPU acknowledges and never works.
    MissingCpu,
    /// All CPUs do the lead's steps.
    LeadEverywhere,
    /// A CPU's failure is acknowledged like success.
    FailureIgnored,
    /// The uploader is told of success, whatever happened.
    SwallowedFailure,
    /// P-SEAMLDR is called without its lock.
    NoLoaderLock,
    /// The last CPU makes another SEAMCALL after its LP.INIT.
    ForeignSeamcall,
    /// The last CPU installs twice.
    DoubleInstall,
    /// CPUs remember that they were initialised, for the old module.
    StaleInitFlag,
    /// The CPUs that take part are chosen before hotplug is locked out.
    NoHotplugLock,
    /// LP.INIT comes before INSTALL.
    SwappedSteps,
    /// Only one CPU goes through the steps.
    OneCpu,
    /// The last CPU never acknowledges INSTALL.
    NeverAcks,
    /// A failure is counted after the acknowledgement, not before. The model's own: with a lock around both it is no error.
    FailureAfterAck,
    /// The counter is not reset. The model's own.
    NoReset,
}

impl Twin {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::EarlyAdvance,
        Self::LateReset,
        Self::LostAck,
        Self::AckBeforeWork,
        Self::MissingCpu,
        Self::LeadEverywhere,
        Self::FailureIgnored,
        Self::SwallowedFailure,
        Self::NoLoaderLock,
        Self::ForeignSeamcall,
        Self::DoubleInstall,
        Self::StaleInitFlag,
        Self::NoHotplugLock,
        Self::SwappedSteps,
        Self::OneCpu,
        Self::NeverAcks,
        Self::FailureAfterAck,
        Self::NoReset,
    ];

    /// Its name, as the kernel module's parameter `twin` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EarlyAdvance => "early-advance",
            Self::LateReset => "late-reset",
            Self::LostAck => "lost-ack",
            Self::AckBeforeWork => "ack-before-work",
            Self::MissingCpu => "missing-cpu",
            Self::LeadEverywhere => "lead-everywhere",
            Self::FailureIgnored => "failure-ignored",
            Self::SwallowedFailure => "swallowed-failure",
            Self::NoLoaderLock => "no-loader-lock",
            Self::ForeignSeamcall => "foreign-seamcall",
            Self::DoubleInstall => "double-install",
            Self::StaleInitFlag => "stale-init-flag",
            Self::NoHotplugLock => "no-hotplug-lock",
            Self::SwappedSteps => "swapped-steps",
            Self::OneCpu => "one-cpu",
            Self::NeverAcks => "never-acks",
            Self::FailureAfterAck => "failure-after-ack",
            Self::NoReset => "no-reset",
        }
    }

    /// The invariant that it must break.
    pub const fn breaks(self) -> Invariant {
        match self {
            Self::EarlyAdvance | Self::AckBeforeWork | Self::SwappedSteps => Invariant::Lockstep,
            Self::LateReset | Self::LostAck | Self::NeverAcks | Self::NoReset => Invariant::Progress,
            Self::LeadEverywhere => Invariant::LeadOnly,
            Self::FailureIgnored | Self::SwallowedFailure | Self::FailureAfterAck => Invariant::StopOnFailure,
            Self::NoLoaderLock => Invariant::SerialLoader,
            Self::ForeignSeamcall => Invariant::UpdateOnly,
            Self::MissingCpu | Self::DoubleInstall | Self::StaleInitFlag | Self::NoHotplugLock | Self::OneCpu => {
                Invariant::Participation
            }
        }
    }
}
