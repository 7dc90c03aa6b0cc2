//! What must hold. Names and meanings are those of the rig's oracle.

/// One thing that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Each online CPU does each all-CPU step exactly once.
    Participation,
    /// No CPU begins a step before every CPU that takes part acknowledged the one before; work comes before its
    /// acknowledgement; no call of an earlier step follows one of a later step.
    Lockstep,
    /// Steps of one CPU run once, on CPU 0.
    LeadOnly,
    /// From SHUTDOWN to UPDATE no other SEAMCALL runs.
    UpdateOnly,
    /// Never two CPUs inside P-SEAMLDR.
    SerialLoader,
    /// Every CPU leaves.
    Progress,
    /// After a CPU failed none begins a later step, and the uploader is told.
    StopOnFailure,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Participation,
        Self::Lockstep,
        Self::LeadOnly,
        Self::UpdateOnly,
        Self::SerialLoader,
        Self::Progress,
        Self::StopOnFailure,
    ];

    /// Its name in the oracle.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Participation => "participation",
            Self::Lockstep => "lockstep",
            Self::LeadOnly => "lead-only",
            Self::UpdateOnly => "update-only",
            Self::SerialLoader => "serial-loader",
            Self::Progress => "progress",
            Self::StopOnFailure => "stop-on-failure",
        }
    }
}
