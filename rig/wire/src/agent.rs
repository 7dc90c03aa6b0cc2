//! The protocol between the rig and the agent, PID 1 of the guest.
//!
//! Transport: a byte stream (virtio-serial port [`PORT_NAME`]). Each frame is a little-endian `u32` length, at most
//! [`MAX_FRAME`], then that many bytes of postcard. The agent speaks first, with [`FromAgent::Ready`]. A virtual
//! machine that is restored from a snapshot into an open port has seen no closing and says nothing: ask it with
//! [`Command::Ping`]. Where the guest sees the host's end closed and opened anew, `Ready` comes again, maybe after
//! frames that were under way; a stream that broke within a frame is lost, and the machine with it. The rig checks
//! [`Ready::protocol`] first. The agent answers a request that it does not understand with EPROTO and its id, or `u64::MAX`.

pub use crate::td::TdStage;

use crate::task::BlockedTask;
use crate::td::{Churn, ChurnReport, TdPlan, TdReport};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Version of the protocol; both sides refuse any other.
pub const PROTOCOL_VERSION: u32 = 9;
/// Name of the virtio-serial port.
pub const PORT_NAME: &str = "org.seamrig.agent.0";
/// Largest frame, bytes. A module image is at most 4096 * 498 bytes and travels in one frame.
pub const MAX_FRAME: u32 = 4 << 20;
/// Longest file that [`Command::Read`] reads, bytes: `/proc/interrupts` of 255 CPUs is over 100 KiB.
pub const MAX_READ: u32 = 1 << 20;

/// Where programs that the rig runs in the guest leave their evidence.
pub const EVIDENCE: &str = "/var/lib/seamrig";

/// From the rig to the agent. Each request with an `id` is answered by exactly one [`FromAgent::Done`] with that `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the rig, unique in a run.
    pub id: u64,
    /// What to do.
    pub command: Command,
}

/// What the agent can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing; answers [`Answer::Unit`]. For liveness.
    Ping,
    /// Do nothing for so long, then wait some seconds at most for each CPU to serve a timer; answers [`Answer::Unit`].
    Rest {
        /// Milliseconds of the guest's time.
        ms: u32,
    },
    /// Load a kernel module from `/lib/modules/rig/NAME.ko` with these parameters.
    LoadModule {
        /// File name without `.ko`.
        name: String,
        /// Parameters, as for insmod.
        parameters: String,
    },
    /// Remove a kernel module.
    UnloadModule {
        /// Module name.
        name: String,
    },
    /// Read a file under `/sys`, `/proc` or [`EVIDENCE`]. One longer than [`MAX_READ`] is refused with EFBIG, never cut.
    Read {
        /// Absolute path.
        path: String,
    },
    /// Read at most [`MAX_READ`] bytes of a file under `/sys`, `/proc` or [`EVIDENCE`] from this offset on; none: its end.
    ReadPart {
        /// Absolute path.
        path: String,
        /// Bytes before the first one that is read.
        offset: u64,
    },
    /// Write a file under `/sys` or `/proc`.
    Write {
        /// Absolute path.
        path: String,
        /// What to write, in one `write(2)`.
        data: Vec<u8>,
    },
    /// Upload a module image through the firmware upload class and wait, however long, until the kernel is idle again.
    /// An empty image is refused with EINVAL: the kernel would drop it and keep the error of the update before.
    Update {
        /// Name of the upload device: `tdx_module` for the in-tree driver.
        device: String,
        /// The image as it is, good or bad.
        image: Vec<u8>,
    },
    /// Start a load in the guest; answers when it runs.
    StartLoad {
        /// Which.
        #[serde(with = "LoadOnWire")]
        load: Load,
    },
    /// Stop all loads; answers [`Answer::Loads`].
    StopLoads,
    /// Sync and power the machine off. The answer comes first.
    PowerOff,
    /// Build trust domains through KVM and run them; answers when all run.
    StartTds {
        /// Each of them.
        tds: Vec<TdPlan>,
    },
    /// Ask all those trust domains to end, wait for it and destroy them; answers [`Answer::Tds`].
    StopTds,
    /// Build, run and destroy trust domains in loops; answers at once.
    StartChurn {
        /// What and how.
        churn: Churn,
    },
    /// Wait for what [`Command::StartChurn`] began, or have it begin no more, and wait; answers [`Answer::Churn`].
    StopChurn {
        /// All that were asked for are begun first.
        when_done: bool,
    },
    /// Make the files that QEMU shares under this tag (9p) the guest's own, with all changes in memory, for good.
    Enter {
        /// The tag.
        tag: String,
    },
    /// Run a program of the guest's file system to its end, however long that takes; answers [`Answer::Executed`].
    Execute {
        /// Absolute path.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Write a line into the kernel's log and send the log up to it; answers [`Answer::Unit`] when all of that is sent.
    MarkLog {
        /// The line.
        text: String,
    },
    /// Tell which tasks sleep uninterruptibly, and where; answers [`Answer::BlockedTasks`].
    BlockedTasks,
}

/// A load that the agent itself can make. In text (a scenario) its `profile` names it, beside its other keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "profile", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Load {
    /// `threads` threads that compute and never sleep.
    CpuHog {
        /// How many.
        threads: u32,
    },
    /// Threads that read these files in loops.
    Reader {
        /// Absolute paths.
        paths: Vec<String>,
        /// How many threads for each path.
        threads: u32,
        /// What the files may hold, without spaces at their ends; anything else is an error. Empty: anything.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Takes CPUs (all but CPU 0, in turn) offline and online.
    Hotplug {
        /// Pause between two switches, milliseconds.
        pause_ms: u32,
        /// Whether an update waits until the CPU is back, so that CPUs are missing between updates only.
        #[serde(default)]
        between_updates: bool,
    },
    /// Takes a CPU (all but CPU 0, in turn) offline before each update, and brings it back so that it is on its way up, under the
    /// kernel's hotplug lock, when the update begins.
    CpuArrival {},
    /// Switches the kernel between its clock sources, each time through `stop_machine`.
    Clocksource {
        /// Pause between two switches, milliseconds.
        pause_ms: u32,
    },
    /// Loads and unloads a kernel module (`tdx_raw`, which asks the TDX module for its version on loading).
    ModuleLoop {
        /// Pause between loading and unloading, milliseconds.
        pause_ms: u32,
    },
    /// Patches the kernel's code: a probe (kprobe) on a busy function is put in place and taken away.
    TextPatching {
        /// Pause between the two, milliseconds.
        pause_ms: u32,
    },
    /// Takes memory until so much is left, and then gives some back and takes it again.
    MemoryPressure {
        /// What is left, MiB.
        leave_mib: u32,
    },
    /// Threads that map, touch and unmap memory.
    PageFault {
        /// How many.
        threads: u32,
        /// Size of each mapping, KiB.
        kib: u32,
    },
    /// Timers with a period, on each CPU.
    Timer {
        /// Period, microseconds.
        period_us: u32,
    },
    /// SEAMCALLs from process and from interrupt context, on each CPU: the kernel module `tdx_load`.
    Seamcall {
        /// Operations per second and CPU from a kernel thread; 0: none.
        #[serde(default = "often")]
        process_hz: u32,
        /// Operations per second and CPU from a high-resolution timer's interrupt; 0: none.
        #[serde(default = "often")]
        timer_hz: u32,
        /// Operations per second and CPU from an interrupt between processors; 0: none.
        #[serde(default = "often")]
        ipi_hz: u32,
        /// Whether an operation of several SEAMCALLs lies before or after an update, never across one.
        #[serde(default = "yes")]
        stand_aside: bool,
    },
    /// Scripted trust domains, built and run through the kernel module `tdx_raw`: one thread for each virtual CPU.
    TrustDomain {
        /// How many TDs.
        tds: u32,
        /// Virtual CPUs of each.
        vcpus: u32,
        /// Entries of a virtual CPU on one CPU before it moves on to the next; 0: it stays.
        #[serde(default = "moves")]
        moves_after: u32,
        /// How far the TDs have come when the updates begin.
        #[serde(default)]
        stage: TdStage,
        /// What the virtual CPUs run, one TD after the other; the rig fills it in.
        #[serde(skip)]
        scripts: Vec<Vec<u8>>,
    },
}

const fn often() -> u32 {
    200
}

const fn moves() -> u32 {
    8
}

const fn yes() -> bool {
    true
}

/// TDVMCALL subfunction with which a script reports its hash chain: R12 to R15 hold its first 32 bytes.
pub const REPORT_CHAIN: u64 = 0x5EA1_0001;
/// Guest-physical address of the first page of a TD's first virtual CPU's script; the next one's is a page further.
pub const SCRIPT_GPA: u64 = 0x10_0000;
/// Guest-physical address of the page that the first virtual CPU computes on; the next one's is a page further.
pub const DATA_GPA: u64 = 0x1_0000;
/// Most virtual CPUs of a scripted TD.
pub const MAX_TD_VCPUS: u32 = 64;

/// The form of [`Load`] between rig and agent: postcard cannot decode an enum whose tag stands beside its fields. The
/// compiler holds the two together.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Load")]
enum LoadOnWire {
    CpuHog { threads: u32 },
    Reader { paths: Vec<String>, threads: u32, only: Vec<String> },
    Hotplug { pause_ms: u32, between_updates: bool },
    CpuArrival {},
    Clocksource { pause_ms: u32 },
    ModuleLoop { pause_ms: u32 },
    TextPatching { pause_ms: u32 },
    MemoryPressure { leave_mib: u32 },
    PageFault { threads: u32, kib: u32 },
    Timer { period_us: u32 },
    Seamcall { process_hz: u32, timer_hz: u32, ipi_hz: u32, stand_aside: bool },
    TrustDomain { tds: u32, vcpus: u32, moves_after: u32, stage: TdStage, scripts: Vec<Vec<u8>> },
}

/// From the agent to the rig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// First message: the guest is up.
    Ready(Ready),
    /// A record of the kernel's log.
    Kmsg {
        /// The record as `/dev/kmsg` gives it: `prio,seq,us,flags;text`.
        line: String,
    },
    /// The answer to a request.
    Done {
        /// The request's id.
        id: u64,
        /// What came of it.
        result: Result<Answer, Failure>,
    },
}

/// What the agent knows when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// `uname -r`.
    pub kernel: String,
    /// Contents of `/sys/devices/system/cpu/online`.
    pub cpus_online: String,
    /// Contents of `/sys/devices/system/cpu/present`.
    pub cpus_present: String,
}

/// Payload of a successful answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// No data.
    Unit,
    /// Bytes of a file.
    Bytes(Vec<u8>),
    /// Outcome of an update.
    Update(UploadOutcome),
    /// What the loads achieved.
    Loads(Vec<LoadReport>),
    /// What became of the trust domains.
    Tds(Vec<TdReport>),
    /// What came of the churn.
    Churn(ChurnReport),
    /// How a program ended.
    Executed(Executed),
    /// The tasks that sleep uninterruptibly, by their ids.
    BlockedTasks(Vec<BlockedTask>),
}

/// How a program ended that was run in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// Its exit code.
    pub code: i32,
    /// Its standard output, the end of it where it is very long.
    pub stdout: Vec<u8>,
    /// Its standard error, likewise.
    pub stderr: Vec<u8>,
}

/// What the kernel said of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadOutcome {
    /// Contents of `status` at the end, trimmed (`idle`).
    pub status: String,
    /// Contents of `error` at the end, trimmed: empty when none, else such as `transferring:firmware-invalid`.
    pub error: String,
    /// `errno` of writing the image or `loading`, when that failed already.
    pub errno: Option<i32>,
    /// From writing `0` to `loading` until idle, guest monotonic clock, microseconds.
    pub duration_us: u64,
}

/// What one load achieved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Its name, such as `reader`.
    pub name: String,
    /// Operations that succeeded: readings of a file, switches of a CPU or clock source, mappings, modules loaded,
    /// expiries of a timer, or 65,536 rounds of arithmetic, SEAMCALL operations, or entries of a virtual CPU.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
    /// The first error, if any.
    pub first_error: Option<String>,
    /// What else it counted, by name.
    pub counts: Vec<(String, u64)>,
    /// The hash chains that its scripted virtual CPUs reported.
    pub chains: Vec<Chain>,
    /// For how long it ran, guest monotonic clock, milliseconds.
    pub elapsed_ms: u64,
}

/// The hash chain that a scripted virtual CPU reported last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Number of its TD in the load.
    pub td: u32,
    /// Its number in the TD.
    pub vcpu: u32,
    /// How often it reported its chain.
    pub rounds: u64,
    /// First 32 bytes of the chain as it reported them, R12 to R15.
    pub words: [u64; 4],
}

/// Why a request failed in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `errno`, when there is one.
    pub errno: Option<i32>,
    /// The action that failed and why, one line.
    pub what: String,
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed or ended.
    #[error("the agent's channel failed: {0}")]
    Io(#[from] io::Error),
    /// The length word is beyond [`MAX_FRAME`].
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(u32),
    /// The bytes are no message of this protocol.
    #[error("a frame could not be decoded: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Encodes a message with its length in front.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_stdvec(message)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend(body);
    Ok(frame)
}

/// Decodes the body of a frame.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(postcard::from_bytes(body)?)
}

/// The length of the body that follows, checked.
pub fn body_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(prefix);
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    Ok(length as usize)
}

/// Writes one frame to a blocking stream.
pub fn write_frame<T: Serialize>(stream: &mut impl Write, message: &T) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?)?;
    stream.flush()?;
    Ok(())
}

/// Reads one frame from a blocking stream.
pub fn read_frame<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; body_length(prefix)?];
    stream.read_exact(&mut body)?;
    decode(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_stream() {
        let request = Request { id: 7, command: Command::Update { device: "tdx_module".into(), image: vec![1; 9000] } };
        let mut stream = Vec::new();
        write_frame(&mut stream, &request).unwrap();
        assert_eq!(read_frame::<Request>(&mut stream.as_slice()).unwrap(), request);
    }

    #[test]
    fn every_load_survives_the_stream() {
        let loads = [
            Load::CpuHog { threads: 1 },
            Load::Reader { paths: vec!["/proc/stat".into()], threads: 2, only: vec!["1".into()] },
            Load::Hotplug { pause_ms: 3, between_updates: true },
            Load::CpuArrival {},
            Load::Clocksource { pause_ms: 1 },
            Load::ModuleLoop { pause_ms: 2 },
            Load::TextPatching { pause_ms: 8 },
            Load::MemoryPressure { leave_mib: 3 },
            Load::PageFault { threads: 4, kib: 5 },
            Load::Timer { period_us: 6 },
            Load::Seamcall { process_hz: 7, timer_hz: 8, ipi_hz: 9, stand_aside: false },
            Load::TrustDomain { tds: 1, vcpus: 2, moves_after: 3, stage: TdStage::Building, scripts: vec![vec![4]] },
        ];
        for load in loads {
            let request = Request { id: 1, command: Command::StartLoad { load } };
            let mut stream = Vec::new();
            write_frame(&mut stream, &request).unwrap();
            assert_eq!(read_frame::<Request>(&mut stream.as_slice()).unwrap(), request);
        }
    }

    #[test]
    fn cannot_read_a_frame_that_is_too_long() {
        let mut stream: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0];
        assert!(matches!(read_frame::<Request>(&mut stream), Err(FrameError::TooLong(u32::MAX))));
    }

    #[test]
    fn cannot_write_a_frame_that_is_too_long() {
        let command = Command::Write { path: String::new(), data: vec![0; MAX_FRAME as usize + 1] };
        assert!(matches!(encode(&Request { id: 0, command }), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn cannot_read_a_truncated_frame() {
        let mut stream: &[u8] = &[8, 0, 0, 0, 1, 2];
        assert!(matches!(read_frame::<Request>(&mut stream), Err(FrameError::Io(_))));
    }
}
