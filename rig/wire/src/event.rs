//! One observation of a run, as the emulator (or a kernel module) records it.
//!
//! A [`Record`] is 64 bytes, so that it fills one cache line of the shared [`crate::ring`]. Its fields `a` to `d` depend on
//! its [`Kind`].

use serde::{Deserialize, Serialize};

/// One event in 64 bytes. `seq` is its place in the one global order of a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the global order, from 0.
    pub seq: u64,
    /// Host monotonic clock, nanoseconds since the emulator started. Not part of a timeline's digest.
    pub host_ns: u64,
    /// Guest virtual clock, nanoseconds; 0 when the clock cannot be read (deterministic mode reads none).
    pub guest_ns: u64,
    /// Logical processor (vCPU index) on which it happened; [`NO_LP`] when on none.
    pub lp: u16,
    /// A [`Kind`] as a number.
    pub kind: u16,
    /// Bits of [`flags`].
    pub flags: u32,
    /// See [`Kind`].
    pub a: u64,
    /// See [`Kind`].
    pub b: u64,
    /// See [`Kind`].
    pub c: u64,
    /// See [`Kind`].
    pub d: u64,
}

const _: () = assert!(size_of::<Record>() == 64);

/// The value of [`Record::lp`] for events that belong to no logical processor.
pub const NO_LP: u16 = u16::MAX;

/// Bits of [`Record::flags`].
pub mod flags {
    /// RFLAGS.IF was set: interrupts were enabled.
    pub const IF: u32 = 1 << 0;
    /// CPL above 0.
    pub const USER: u32 = 1 << 1;
    /// In hard-interrupt context (from the kernel's `preempt_count`), valid only with [`CONTEXT_KNOWN`].
    pub const HARDIRQ: u32 = 1 << 2;
    /// [`HARDIRQ`] is meaningful.
    pub const CONTEXT_KNOWN: u32 = 1 << 3;
    /// The watched access was a store (else a load).
    pub const STORE: u32 = 1 << 4;
    /// SEAMCALL ended with CF=1, `VMfailInvalid`.
    pub const VMFAIL_INVALID: u32 = 1 << 5;
    /// SEAMCALL raised #UD.
    pub const UD: u32 = 1 << 6;
    /// SEAMCALL raised #GP(0).
    pub const GP: u32 = 1 << 7;
    /// An injected fault decided the outcome.
    pub const FAULT: u32 = 1 << 8;
    /// The leaf is not modelled; it was answered as unimplemented firmware would.
    pub const UNMODELLED: u32 = 1 << 9;
    /// The outcome is due to a lock of the firmware that another LP held.
    pub const CONTENDED: u32 = 1 << 10;
}

/// What an event is. The comment of each names the use of `a`, `b`, `c`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Kind {
    /// SEAMCALL begins: `a`=RAX, `b`=RCX, `c`=RDX, `d`=R8. Flags: IF, USER, HARDIRQ.
    SeamcallEnter = 1,
    /// SEAMCALL ended: `a`=RAX at entry, `b`=RAX returned (or unchanged), `c`=RCX returned, `d`=RDX returned.
    SeamcallExit = 2,
    /// A watched word was loaded or stored (flag STORE): `a`=watch index in the plan, `b`=value, `c`=address, `d`=PC.
    Watch = 3,
    /// A watched function was entered: `a`=function index in the plan, `b`=return address, `c`=RDI, `d`=RSI (its first
    /// two arguments).
    FunctionEnter = 4,
    /// A watched function was left: `a`=function index in the plan, `b`=RAX.
    FunctionExit = 5,
    /// An interrupt or an exception was delivered inside the update's function: `a`=PC before, `b`=PC after. Flag IF: interrupts
    /// were enabled before. QEMU 11.1 reports an x86 vCPU's #UD to plugins as an interrupt.
    Interrupt = 6,
    /// An exception was raised: `a`=PC before, `b`=PC after.
    Exception = 7,
    /// A hold began on this LP: `a`=hold index in the plan.
    HoldBegin = 8,
    /// A hold ended: `a`=hold index, `b`=[`HoldEnd`] as a number.
    HoldEnd = 9,
    /// The module's life-cycle state changed: `a`=old, `b`=new (0 `SYSINIT_PENDING` .. 4 `SYS_SHUTDOWN`, 5 not loaded).
    ModuleState = 10,
    /// Digest of one trust domain: `a`=TDR physical address, `b`=first 8 bytes of its SHA-384, `c`=1 when taken at
    /// SHUTDOWN, 2 at UPDATE, 3 otherwise.
    TdDigest = 11,
    /// An instruction that the CPU facade does not know, or a SEAMCALL followed by something other than `jc`:
    /// `a`=PC, `b`=the instruction's first 8 bytes.
    Unknown = 12,
    /// A line on the guest's console, recorded by the rig: `a`=line index in the console file.
    Console = 13,
    /// The rig's or agent's own mark: `a`=[`Mark`] as a number, `b`=argument.
    Mark = 14,
    /// A vCPU was halted (idle) or resumed: `a`=1 idle, 0 resumed.
    Idle = 15,
}

/// Points in a run that the agent and the rig mark in the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u64)]
pub enum Mark {
    /// The agent is ready.
    Ready = 1,
    /// The upload of update number `b` begins.
    UpdateBegin = 2,
    /// An update ended and its outcome was read back: `b`=[`update_end`] of its number and outcome.
    UpdateEnd = 3,
    /// The run ended; the last record of an events file: `b`=how, as the judge numbers it.
    RunEnd = 4,
    /// The emulator ended a deterministic run: `b`=guest time without progress, nanoseconds.
    Stalled = 5,
    /// The LP made the same failing SEAMCALL so many times more, up to here, and these calls were not recorded: `b`=calls,
    /// `c`=RAX at entry, `d`=RAX returned. Flags as of [`Kind::SeamcallExit`].
    Repeated = 6,
    /// The host took time from the machine: `b`=milliseconds that it took, `c`=of how many just before, `d`=[`HostCause`].
    HostTook = 7,
}

/// How the host took time from the machine, whose clock went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u64)]
pub enum HostCause {
    /// The rig itself did not run: the host, or the rig's process, was paused.
    RigPaused = 1,
    /// QEMU's process was stopped.
    QemuStopped = 2,
    /// QEMU's threads waited for a core.
    Starved = 3,
}

impl HostCause {
    /// The cause with this number, if there is one.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::RigPaused),
            2 => Some(Self::QemuStopped),
            3 => Some(Self::Starved),
            _ => None,
        }
    }
}

impl Mark {
    /// The mark with this number, if there is one.
    pub fn from_u64(number: u64) -> Option<Self> {
        let all = [
            Self::Ready,
            Self::UpdateBegin,
            Self::UpdateEnd,
            Self::RunEnd,
            Self::Stalled,
            Self::Repeated,
            Self::HostTook,
        ];
        all.into_iter().find(|mark| *mark as u64 == number)
    }
}

/// What the kernel reported of an update to the uploader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u64)]
pub enum UpdateOutcome {
    /// It was not read back.
    Unknown = 0,
    /// The kernel reported success.
    Succeeded = 1,
    /// The kernel reported an error.
    Failed = 2,
}

/// The argument of [`Mark::UpdateEnd`]: the update's number below, its outcome above.
pub const fn update_end(number: u32, outcome: UpdateOutcome) -> u64 {
    number as u64 | (outcome as u64) << 32
}

/// The inverse of [`update_end`]; an outcome that is not known here is [`UpdateOutcome::Unknown`].
pub const fn update_ended(argument: u64) -> (u32, UpdateOutcome) {
    let outcome = match argument >> 32 {
        1 => UpdateOutcome::Succeeded,
        2 => UpdateOutcome::Failed,
        _ => UpdateOutcome::Unknown,
    };
    (argument as u32, outcome)
}

/// Why a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u64)]
pub enum HoldEnd {
    /// Its condition came true.
    Satisfied = 1,
    /// Its bound ran out first.
    Expired = 2,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_u16(n: u16) -> Option<Self> {
        use Kind::{
            Console, Exception, FunctionEnter, FunctionExit, HoldBegin, HoldEnd, Idle, Interrupt, Mark, ModuleState,
            SeamcallEnter, SeamcallExit, TdDigest, Unknown, Watch,
        };
        let all = [
            SeamcallEnter,
            SeamcallExit,
            Watch,
            FunctionEnter,
            FunctionExit,
            Interrupt,
            Exception,
            HoldBegin,
            HoldEnd,
            ModuleState,
            TdDigest,
            Unknown,
            Console,
            Mark,
            Idle,
        ];
        all.into_iter().find(|k| *k as u16 == n)
    }
}

impl Record {
    /// Size of a record in the ring and in an events file, bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// The record as it stands in an events file: eight little-endian words.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let packed = u64::from(self.lp) | u64::from(self.kind) << 16 | u64::from(self.flags) << 32;
        let words = [self.seq, self.host_ns, self.guest_ns, packed, self.a, self.b, self.c, self.d];
        let mut out = [0; Self::SIZE];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// The inverse of [`Record::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        let packed = word(3);
        Self {
            seq: word(0),
            host_ns: word(1),
            guest_ns: word(2),
            lp: packed as u16,
            kind: (packed >> 16) as u16,
            flags: (packed >> 32) as u32,
            a: word(4),
            b: word(5),
            c: word(6),
            d: word(7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_survives_its_bytes() {
        let r = Record {
            seq: 1,
            host_ns: 2,
            guest_ns: 3,
            lp: 4,
            kind: 5,
            flags: 0x8000_0006,
            a: 7,
            b: 8,
            c: 9,
            d: u64::MAX,
        };
        assert_eq!(Record::from_bytes(&r.to_bytes()), r);
    }

    #[test]
    fn an_updates_end_survives_its_argument() {
        for outcome in [UpdateOutcome::Unknown, UpdateOutcome::Succeeded, UpdateOutcome::Failed] {
            assert_eq!(update_ended(update_end(7, outcome)), (7, outcome));
        }
    }

    #[test]
    fn marks_have_their_numbers() {
        for number in 1..=7 {
            assert_eq!(Mark::from_u64(number).map(|mark| mark as u64), Some(number));
        }
        assert_eq!((Mark::from_u64(0), Mark::from_u64(8)), (None, None));
    }

    #[test]
    fn kinds_have_their_numbers() {
        for n in 1..=15 {
            assert_eq!(Kind::from_u16(n).map(|k| k as u16), Some(n));
        }
        assert_eq!(Kind::from_u16(0), None);
        assert_eq!(Kind::from_u16(16), None);
    }
}
