//! The client of the agent in the guest.

mod kmsg;
mod log;
mod panic;

pub use kmsg::KernelLine;
pub use log::{LogLines, LogSink, kernel_log};
pub use panic::panic_line;

use rig_wire::agent::{self, Answer, Command, Failure, FrameError, FromAgent, Ready, Request};
use rig_wire::task::BlockedTask;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::timeout;

/// Why the guest did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The agent's channel ended: the guest is gone, or its agent is.
    #[error("the guest's agent is gone")]
    Gone,
    /// The guest's kernel log is so long that the rest of it could be neither kept nor judged.
    #[error("the guest's kernel log is longer than {} MiB, and nobody looks at the rest", log::MOST_OF_A_LOG >> 20)]
    LogTooLong,
    /// A file of the guest is longer than the rig's memory is worth.
    #[error("{path} in the guest is longer than {} MiB", MOST_OF_A_FILE >> 20)]
    FileTooLong {
        /// The file.
        path: String,
    },
    /// The agent tried and failed.
    #[error("in the guest: {}", .0.what)]
    Failed(Failure),
    /// The agent answered with something that does not belong to the command.
    #[error("the agent answered {0:?}, which is no answer to the command")]
    Unexpected(Box<Answer>),
    /// The request could not be put into a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The agent speaks another version of the protocol.
    #[error("the guest's agent speaks protocol {theirs}, not {ours}", ours = agent::PROTOCOL_VERSION)]
    Version {
        /// The agent's version.
        theirs: u32,
    },
}

/// No such file.
const ENOENT: i32 = 2;

/// The longest file that is fetched from a guest, bytes.
const MOST_OF_A_FILE: usize = 256 << 20;

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Answer, Failure>>>>>>;

/// The agent, from here.
#[derive(Debug)]
pub struct Guest {
    write: AsyncMutex<(OwnedWriteHalf, u64)>,
    waiting: Waiting,
    ready: watch::Receiver<Option<Ready>>,
    answers: Arc<AtomicU64>,
    /// Answers to what the rig asked to learn whether the guest hangs.
    asides: AtomicU64,
    within_frame: Arc<AtomicBool>,
    log_too_long: Arc<AtomicBool>,
}

impl Guest {
    /// Talks over a connection that QEMU made for the agent's port. Lines of the kernel's log go to `log`.
    ///
    /// The connection exists before the guest runs; nothing is sent before the agent said that it is ready.
    pub fn new(stream: UnixStream, log: LogSink) -> Self {
        Self::connected(stream, log, None)
    }

    /// As [`Guest::new`], for a guest that was saved after it had said that it is ready, and does not say so again.
    pub fn restored(stream: UnixStream, log: LogSink, said: Ready) -> Self {
        Self::connected(stream, log, Some(said))
    }

    fn connected(stream: UnixStream, log: LogSink, said: Option<Ready>) -> Self {
        let (read, write) = stream.into_split();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (ready_in, ready) = watch::channel(said);
        let within_frame = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let log_too_long = Arc::new(AtomicBool::new(false));
        let mut receiver = Receiver {
            read,
            waiting: Arc::clone(&waiting),
            ready: ready_in,
            log,
            answers: Arc::clone(&answers),
            within_frame: Arc::clone(&within_frame),
            log_too_long: Arc::clone(&log_too_long),
        };
        tokio::spawn(async move {
            let end = receiver.receive().await;
            tracing::debug!("the agent's channel ended: {end:?}");
            lock(&receiver.waiting).take();
        });
        let asides = AtomicU64::new(0);
        Self { write: AsyncMutex::new((write, 0)), waiting, ready, answers, asides, within_frame, log_too_long }
    }

    /// Whether only a part of a message has come. A machine that is saved now loses that part.
    pub fn is_within_frame(&self) -> bool {
        self.within_frame.load(Ordering::Relaxed)
    }

    /// Messages of the agent so far, without the kernel's log and without what [`Guest::blocked_tasks`] asked for.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed).saturating_sub(self.asides.load(Ordering::Relaxed))
    }

    /// Whether the agent has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.borrow().is_some()
    }

    /// The guest's tasks in uninterruptible sleep; none: the agent does not answer within `limit`.
    pub async fn blocked_tasks(&self, limit: Duration) -> Option<Vec<BlockedTask>> {
        let answer = timeout(limit, self.request(Command::BlockedTasks)).await.ok()?;
        if !matches!(answer, Ok(_) | Err(GuestError::Failed(_))) {
            return None;
        }
        self.asides.fetch_add(1, Ordering::Relaxed);
        if let Ok(Answer::BlockedTasks(tasks)) = answer { Some(tasks) } else { None }
    }

    /// Waits for the agent's first message. Unbounded: what bounds it is the guest's progress, watched elsewhere.
    pub async fn ready(&self) -> Result<Ready, GuestError> {
        let mut ready = self.ready.clone();
        let said = ready.wait_for(Option::is_some).await.map_err(|_| self.gone())?.clone();
        let said = said.ok_or_else(|| self.gone())?;
        if said.protocol != agent::PROTOCOL_VERSION {
            return Err(GuestError::Version { theirs: said.protocol });
        }
        Ok(said)
    }

    /// Asks for something and waits for its answer; bounded by the guest's progress like [`Guest::ready`].
    pub async fn request(&self, command: Command) -> Result<Answer, GuestError> {
        let (answer_in, answer) = oneshot::channel();
        {
            let mut channel = self.write.lock().await;
            let (write, last_id) = &mut *channel;
            *last_id += 1;
            let frame = agent::encode(&Request { id: *last_id, command })?;
            lock(&self.waiting).as_mut().ok_or_else(|| self.gone())?.insert(*last_id, answer_in);
            write.write_all(&frame).await.map_err(|_| self.gone())?;
        }
        answer.await.map_err(|_| self.gone())?.map_err(GuestError::Failed)
    }

    /// Why the channel ended.
    fn gone(&self) -> GuestError {
        if self.log_too_long.load(Ordering::Relaxed) { GuestError::LogTooLong } else { GuestError::Gone }
    }

    /// Reads a file of the guest as text, trimmed.
    pub async fn read(&self, path: &str) -> Result<String, GuestError> {
        match self.request(Command::Read { path: path.into() }).await? {
            Answer::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            other => Err(GuestError::Unexpected(Box::new(other))),
        }
    }

    /// A file of the guest, of up to 256 MiB; none: it is not there.
    pub async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        self.fetch_within(MOST_OF_A_FILE, path).await
    }

    async fn fetch_within(&self, most: usize, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        let mut bytes = Vec::new();
        loop {
            let command = Command::ReadPart { path: path.to_owned(), offset: bytes.len() as u64 };
            match self.request(command).await {
                // Files that the kernel makes up come in parts of any length; only an empty one is the end.
                Ok(Answer::Bytes(part)) if part.is_empty() => return Ok(Some(bytes)),
                Ok(Answer::Bytes(part)) if bytes.len() + part.len() > most => {
                    return Err(GuestError::FileTooLong { path: path.to_owned() });
                }
                Ok(Answer::Bytes(part)) => bytes.extend(&part),
                Ok(other) => return Err(GuestError::Unexpected(Box::new(other))),
                Err(GuestError::Failed(failure)) if failure.errno == Some(ENOENT) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The receiving side.
struct Receiver {
    read: OwnedReadHalf,
    waiting: Waiting,
    ready: watch::Sender<Option<Ready>>,
    log: LogSink,
    answers: Arc<AtomicU64>,
    within_frame: Arc<AtomicBool>,
    log_too_long: Arc<AtomicBool>,
}

impl Receiver {
    /// Hands each message to who waits for it, until the channel ends or says nonsense.
    async fn receive(&mut self) -> Result<(), FrameError> {
        loop {
            match self.message().await? {
                FromAgent::Kmsg { line } => {
                    if !self.log.pass(line).await {
                        self.log_too_long.store(true, Ordering::Relaxed);
                        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, GuestError::LogTooLong).into());
                    }
                }
                FromAgent::Ready(said) => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    self.ready.send_replace(Some(said));
                }
                FromAgent::Done { id, result } => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    let waiter = lock(&self.waiting).as_mut().and_then(|w| w.remove(&id));
                    // A waiter that has given up since is no mistake of the agent.
                    drop(waiter.ok_or_else(|| unasked(id))?.send(result));
                }
            }
        }
    }
}

impl Receiver {
    async fn message(&mut self) -> Result<FromAgent, FrameError> {
        let mut prefix = [0; 4];
        self.read.read_exact(&mut prefix[..1]).await?;
        self.within_frame.store(true, Ordering::Relaxed);
        self.read.read_exact(&mut prefix[1..]).await?;
        let mut body = vec![0; agent::body_length(prefix)?];
        self.read.read_exact(&mut body).await?;
        self.within_frame.store(false, Ordering::Relaxed);
        agent::decode(&body)
    }
}

fn unasked(id: u64) -> FrameError {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer to request {id}, which nobody made")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: fn(u32) -> FromAgent = |protocol| {
        FromAgent::Ready(Ready {
            protocol,
            kernel: "7.3".into(),
            cpus_online: "0-3".into(),
            cpus_present: "0-3".into(),
        })
    };

    /// An agent that says these messages and then hangs up on a signal.
    async fn agent_saying(messages: Vec<FromAgent>) -> (Guest, LogLines, UnixStream) {
        agent_of(log::MOST_OF_A_LOG, messages).await
    }

    /// The same, with so many bytes of log.
    async fn agent_of(log_bytes: u64, messages: Vec<FromAgent>) -> (Guest, LogLines, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (sink, kmsg) = log::kernel_log_of(log_bytes);
        let guest = Guest::new(ours, sink);
        for message in messages {
            theirs.write_all(&agent::encode(&message).unwrap()).await.unwrap();
        }
        (guest, kmsg, theirs)
    }

    #[tokio::test]
    async fn ready_and_kernel_lines_arrive() {
        let line = FromAgent::Kmsg { line: "6,1,2,-;hello".into() };
        let (guest, mut kmsg, _theirs) = agent_saying(vec![READY(agent::PROTOCOL_VERSION), line]).await;
        assert_eq!(guest.ready().await.unwrap().cpus_online, "0-3");
        assert_eq!(kmsg.recv().await.unwrap(), "6,1,2,-;hello");
    }

    #[tokio::test]
    async fn cannot_talk_to_another_version() {
        let (guest, _kmsg, _theirs) = agent_saying(vec![READY(99)]).await;
        assert!(matches!(guest.ready().await, Err(GuestError::Version { theirs: 99 })));
    }

    #[tokio::test]
    async fn answers_go_to_their_requests() {
        let (guest, _kmsg, mut theirs) = agent_saying(vec![]).await;
        let failure = Failure { errno: Some(6), what: "read version: ENXIO".into() };
        let answers = [
            FromAgent::Done { id: 2, result: Err(failure.clone()) },
            FromAgent::Done { id: 1, result: Ok(Answer::Bytes(b"1.5.06\n".to_vec())) },
        ];
        let agent = tokio::spawn(async move {
            for _ in 0..2 {
                let mut prefix = [0; 4];
                theirs.read_exact(&mut prefix).await.unwrap();
                let mut body = vec![0; agent::body_length(prefix).unwrap()];
                theirs.read_exact(&mut body).await.unwrap();
            }
            for answer in answers {
                theirs.write_all(&agent::encode(&answer).unwrap()).await.unwrap();
            }
            theirs
        });
        let (first, second) = tokio::join!(guest.read("/sys/version"), guest.request(Command::Ping));
        assert_eq!(first.unwrap(), "1.5.06");
        assert!(matches!(second, Err(GuestError::Failed(f)) if f == failure));
        drop(agent.await);
    }

    #[tokio::test]
    async fn a_guest_that_goes_away_ends_all_waits() {
        let (guest, _kmsg, theirs) = agent_saying(vec![]).await;
        let pending = guest.request(Command::Ping);
        drop(theirs);
        assert!(matches!(pending.await, Err(GuestError::Gone)));
        assert!(matches!(guest.ready().await, Err(GuestError::Gone)));
    }

    #[tokio::test]
    async fn what_is_asked_about_a_hang_is_no_sign_of_life() {
        let (guest, _kmsg, mut theirs) = agent_saying(vec![READY(agent::PROTOCOL_VERSION)]).await;
        guest.ready().await.unwrap();
        let before = guest.answers();
        let task = BlockedTask { id: 7, name: "kworker".into(), stack: vec![] };
        let answer = FromAgent::Done { id: 1, result: Ok(Answer::BlockedTasks(vec![task.clone()])) };
        let answering = async {
            let mut request = [0; 4];
            theirs.read_exact(&mut request).await.unwrap();
            theirs.write_all(&agent::encode(&answer).unwrap()).await.unwrap();
        };
        let (tasks, ()) = tokio::join!(guest.blocked_tasks(Duration::from_secs(10)), answering);
        assert_eq!((tasks, guest.answers()), (Some(vec![task]), before));
        assert_eq!(guest.blocked_tasks(Duration::from_millis(1)).await, None, "it does not answer");
    }

    #[tokio::test]
    async fn nonsense_ends_the_channel() {
        let (guest, _kmsg, mut theirs) = agent_saying(vec![]).await;
        theirs.write_all(&[1, 0, 0, 0, 0xff]).await.unwrap();
        assert!(matches!(guest.ready().await, Err(GuestError::Gone)));
    }

    #[tokio::test]
    async fn a_log_without_end_ends_the_guest_and_says_why() {
        let line = || FromAgent::Kmsg { line: "6,1,2,-;hello".into() };
        let (guest, mut kmsg, _theirs) = agent_of(20, vec![line(), line()]).await;
        assert!(matches!(guest.ready().await, Err(GuestError::LogTooLong)));
        assert!(matches!(guest.request(Command::Ping).await, Err(GuestError::LogTooLong)));
        assert!(kmsg.recv().await.is_some());
        assert_eq!(kmsg.recv().await, None);
    }

    /// What comes of fetching a file of at most four bytes from an agent that answers with these parts.
    async fn fetched(parts: &[&str]) -> Result<Option<Vec<u8>>, GuestError> {
        let (guest, _kmsg, mut theirs) = agent_saying(vec![]).await;
        let agent = async move {
            for (id, part) in (1..).zip(parts) {
                let mut prefix = [0; 4];
                theirs.read_exact(&mut prefix).await.unwrap();
                let mut body = vec![0; agent::body_length(prefix).unwrap()];
                theirs.read_exact(&mut body).await.unwrap();
                let done = FromAgent::Done { id, result: Ok(Answer::Bytes(part.as_bytes().to_vec())) };
                theirs.write_all(&agent::encode(&done).unwrap()).await.unwrap();
            }
            theirs
        };
        let (fetched, _theirs) = tokio::join!(guest.fetch_within(4, "/proc/kallsyms"), agent);
        fetched
    }

    #[tokio::test]
    async fn a_file_comes_in_parts_of_any_length() {
        assert_eq!(fetched(&["ab", "c", "d", ""]).await.unwrap().unwrap(), b"abcd");
    }

    #[tokio::test]
    async fn a_file_without_end_is_not_fetched() {
        let error = fetched(&["ab", "c", "de"]).await.unwrap_err();
        assert!(matches!(&error, GuestError::FileTooLong { path } if path == "/proc/kallsyms"), "{error}");
    }
}
