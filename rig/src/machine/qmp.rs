//! QEMU's monitors: one typed through the qapi crate, one raw for events and for what that crate's schema lacks.

use qapi::futures::{QapiService, QmpStreamTokio};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// Bound on one monitor command. QEMU answers within milliseconds unless its main loop hangs, or waits for cores: of a
/// host that is itself emulated, a restore took more than 5 s.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Bound on the greeting and the negotiation after it. QEMU greets when it has made its vCPUs, and while they run their first
/// instructions they keep its lock from the monitor: 512 take some seconds each.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// Why a monitor command failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection failed or ended.
    #[error("QEMU's monitor failed: {0}")]
    Io(#[from] io::Error),
    /// QEMU refused the command.
    #[error("QEMU refused a monitor command: {0}")]
    Refused(String),
    /// No answer within [`COMMAND_LIMIT`].
    #[error("QEMU's monitor did not answer within {} s", COMMAND_LIMIT.as_secs())]
    Silent,
    /// No negotiation within [`START_LIMIT`].
    #[error("QEMU's monitor was not ready within {} s", START_LIMIT.as_secs())]
    Mute,
}

/// The typed monitor.
pub struct Qmp {
    service: QapiService<QmpStreamTokio<WriteHalf<UnixStream>>>,
    version: String,
}

impl Qmp {
    /// Negotiates on a connection that QEMU made.
    pub async fn negotiate(stream: UnixStream) -> Result<Self, QmpError> {
        let (read, write): (ReadHalf<UnixStream>, _) = split(stream);
        let negotiation = beginning(async { Ok(QmpStreamTokio::open_split(read, write).await?) }).await?;
        let v = &negotiation.capabilities.QMP.version.qemu;
        let version = format!("{}.{}.{}", v.major, v.minor, v.micro);
        let stream = beginning(async { Ok(negotiation.negotiate().await?) }).await?;
        let (service, _events) = stream.spawn_tokio();
        Ok(Self { service, version })
    }

    /// QEMU's version, such as `11.1.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Executes a command of the qapi crate's schema.
    pub async fn execute<C>(&self, command: C) -> Result<C::Ok, QmpError>
    where
        C: qapi::qmp::QmpCommand,
    {
        bounded(async {
            self.service.execute(command).await.map_err(|e| match e {
                qapi::ExecuteError::Qapi(e) => QmpError::Refused(e.to_string()),
                qapi::ExecuteError::Io(e) => QmpError::Io(e),
            })
        })
        .await
    }

    /// Executes a command of the human monitor; its output is for people and parsers of register dumps.
    pub async fn human(&self, line: &str) -> Result<String, QmpError> {
        self.execute(qapi::qmp::human_monitor_command { cpu_index: None, command_line: line.into() }).await
    }

    /// As [`Qmp::human`], from the view of one vCPU.
    pub async fn human_on(&self, cpu: u32, line: &str) -> Result<String, QmpError> {
        let command = qapi::qmp::human_monitor_command { cpu_index: Some(i64::from(cpu)), command_line: line.into() };
        self.execute(command).await
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, QmpError>>) -> Result<T, QmpError> {
    timeout(COMMAND_LIMIT, work).await.unwrap_or(Err(QmpError::Silent))
}

async fn beginning<T>(work: impl Future<Output = Result<T, QmpError>>) -> Result<T, QmpError> {
    timeout(START_LIMIT, work).await.unwrap_or(Err(QmpError::Mute))
}

/// The raw monitor: arbitrary JSON in, its answer out; events on the side.
pub struct RawQmp {
    write: Mutex<(OwnedWriteHalf, mpsc::UnboundedReceiver<Value>)>,
}

/// An event of QEMU, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct QmpEvent {
    /// Such as `SHUTDOWN`.
    pub name: String,
    /// Its data, or null.
    pub data: Value,
}

impl RawQmp {
    /// Negotiates on a connection that QEMU made; events go to the receiver until the connection ends.
    pub async fn negotiate(stream: UnixStream) -> Result<(Self, mpsc::UnboundedReceiver<QmpEvent>), QmpError> {
        let (read, write) = stream.into_split();
        let (events_in, events) = mpsc::unbounded_channel();
        let (answers_in, answers) = mpsc::unbounded_channel();
        let (greeted_in, greeted) = oneshot::channel();
        tokio::spawn(sort_lines(read, greeted_in, answers_in, events_in));
        beginning(async { greeted.await.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof).into()) }).await?;
        let raw = Self { write: Mutex::new((write, answers)) };
        beginning(raw.exchange("qmp_capabilities", json!({}))).await?;
        Ok((raw, events))
    }

    /// Executes any command and returns what `return` holds.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        bounded(self.exchange(command, arguments)).await
    }

    /// As [`RawQmp::execute`], without a bound.
    async fn exchange(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let mut channel = self.write.lock().await;
        let (write, answers) = &mut *channel;
        write.write_all(line.as_bytes()).await?;
        let closed = || QmpError::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        let answer = answers.recv().await.ok_or_else(closed)?;
        match answer.get("error") {
            Some(error) => Err(QmpError::Refused(error["desc"].as_str().unwrap_or_default().to_owned())),
            None => Ok(answer["return"].clone()),
        }
    }
}

/// Reads lines of JSON and sends each to where it belongs, until the stream ends.
async fn sort_lines(
    read: OwnedReadHalf,
    greeted: oneshot::Sender<()>,
    answers: mpsc::UnboundedSender<Value>,
    events: mpsc::UnboundedSender<QmpEvent>,
) {
    let mut greeted = Some(greeted);
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(name) = message["event"].as_str() {
            let _ = events.send(QmpEvent { name: name.to_owned(), data: message["data"].clone() });
        } else if message.get("QMP").is_some() {
            greeted.take().map(|g| g.send(()));
        } else {
            let _ = answers.send(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": ""}, "capabilities": ["oob"]}}"#;

    /// A monitor that greets and then says these lines, one after each line it reads.
    async fn monitor(stream: UnixStream, answers: &'static [&'static str]) {
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{GREETING}\n").as_bytes()).await.unwrap();
        let mut lines = BufReader::new(read).lines();
        for answer in answers {
            lines.next_line().await.unwrap().unwrap();
            write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn raw_commands_and_events_are_distinguished() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let event = r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}, "timestamp": {}}"#;
        let lines: &[&str] = Box::leak(Box::new([r#"{"return": {}}"#, event, r#"{"return": 7}"#]));
        tokio::spawn(async move {
            let (read, mut write) = theirs.into_split();
            write.write_all(format!("{GREETING}\n").as_bytes()).await.unwrap();
            let mut input = BufReader::new(read).lines();
            input.next_line().await.unwrap();
            write.write_all(format!("{}\n", lines[0]).as_bytes()).await.unwrap();
            input.next_line().await.unwrap();
            write.write_all(format!("{}\n{}\n", lines[1], lines[2]).as_bytes()).await.unwrap();
            input.next_line().await.unwrap();
        });
        let (raw, mut events) = RawQmp::negotiate(ours).await.unwrap();
        assert_eq!(raw.execute("x-anything", json!({ "a": 1 })).await.unwrap(), json!(7));
        let event = events.recv().await.unwrap();
        assert_eq!((event.name.as_str(), event.data["reason"].as_str()), ("SHUTDOWN", Some("guest-reset")));
    }

    #[tokio::test]
    async fn a_refusal_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(monitor(theirs, &[r#"{"return": {}}"#, r#"{"error": {"class": "X", "desc": "no such thing"}}"#]));
        let (raw, _events) = RawQmp::negotiate(ours).await.unwrap();
        let error = raw.execute("nonsense", json!({})).await.unwrap_err();
        assert!(matches!(&error, QmpError::Refused(why) if why == "no such thing"), "{error}");
    }

    #[tokio::test]
    async fn a_closed_monitor_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(RawQmp::negotiate(ours).await, Err(QmpError::Io(_))));
    }
}
