//! Ways in which the imitated kernel can be wrong.

use crate::Step;
use crate::timeline::Leaf;

/// One fault of the kernel, of its surroundings, or of the firmware's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// The state advances one acknowledgement early: `num_ack == num_online_cpus() - 1`.
    AdvanceEarly,
    /// Every CPU acknowledges a step before it does the step's work.
    AckBeforeWork,
    /// The acknowledgement is counted without the lock, and two CPUs collide in it.
    UnlockedAck,
    /// The lead's steps run on every CPU.
    LeadStepEverywhere,
    /// The lead runs UPDATE twice.
    UpdateTwice,
    /// `num_failed` is not looked at in the loop.
    IgnoreFailed,
    /// A CPU that failed does not count itself, so that the others go on.
    HideFailure,
    /// The uploader is told of success although a CPU failed.
    TellSuccess,
    /// P-SEAMLDR is called without the kernel's lock.
    UnlockedLoader,
    /// Interrupts are enabled in this step.
    InterruptsOn(Step),
    /// A CPU makes a foreign SEAMCALL in this step.
    ForeignCall(Step),
    /// Only the lead is stopped, the others never enter the section.
    OneCpuOnly,
    /// The last CPU acknowledges INSTALL without doing it.
    SkipInstall,
    /// This leaf of one CPU, or SYS.INIT, is never called.
    Skip(Leaf),
    /// The lead calls UPDATE when everybody has left the section.
    UpdateBehind,
    /// The lead calls INSTALL once more when everybody has left the section.
    InstallBehind,
    /// The lead stores the state before this one, and this one again, while it works on this step.
    StateBackwards(Step),
    /// The last CPU acknowledges this step without having read the state.
    AckUnread(Step),
    /// All CPUs leave the section when they have acknowledged this step.
    LeaveAfter(Step),
    /// All CPUs acknowledge once more behind DONE.
    OneStateMore,
    /// The section runs twice in one upload.
    SecondSection,
    /// The kernel counts one online CPU fewer than there are, and that one is not stopped.
    MiscountedCpus,
    /// SYS.INIT finds no entropy, and is called for ever.
    RetryForEver,
    /// The uploader's outcome is not read back.
    UntoldOutcome,
    /// Virtual CPUs are entered after the update, and firmware answers that their TD is dead.
    DeadTd,
    /// No virtual CPU is entered between the first update and the second.
    TdSleepsOnce,
    /// The last CPU does LP.INIT twice.
    InitTwice,
    /// The last CPU never returns from this step's SEAMCALL.
    NeverReturns(Step),
    /// A CPU comes online during the update.
    Hotplug,
    /// A TD's digest differs after the update.
    AlteredTd,
    /// A TD is gone after the update.
    LostTd,
    /// A virtual CPU is never entered again.
    SleepingTd,
    /// The load never comes from interrupt context.
    NoInterruptLoad,
    /// The kernel warns.
    Warning,
}
