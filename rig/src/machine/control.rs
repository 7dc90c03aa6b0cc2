//! The rig's way to the emulator: the plugin's control socket, or the mailbox's server in this process.

use rig_wire::plan::{Control, ControlReply};
use seam_mailbox::Server;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Bound on one request. The emulator answers at once unless one of its locks is stuck.
const LIMIT: Duration = Duration::from_secs(5);

/// Why the emulator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The connection failed or ended.
    #[error("the emulator's control socket failed: {0}")]
    Io(#[from] io::Error),
    /// The emulator refused.
    #[error("the emulator refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("the emulator did not answer within {} s", LIMIT.as_secs())]
    Silent,
}

/// How often it is checked whether the mailbox's server still runs.
const LOOK: Duration = Duration::from_millis(100);

/// The emulator of a machine.
#[derive(Debug)]
pub struct Emulator(Link);

#[derive(Debug)]
enum Link {
    /// In QEMU.
    Plugin(Mutex<BufReader<UnixStream>>),
    /// In this process.
    Mailbox(Server),
}

impl Emulator {
    /// Connects. The emulator listens before QEMU opens its monitors.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        Ok(Self(Link::Plugin(Mutex::new(BufReader::new(UnixStream::connect(socket).await?)))))
    }

    /// The mailbox's server.
    pub fn of_mailbox(server: Server) -> Self {
        Self(Link::Mailbox(server))
    }

    /// The machine is stopped, and is about to be saved.
    pub fn freeze(&self) {
        if let Link::Mailbox(server) = &self.0 {
            server.freeze();
        }
    }

    /// The machine is restored, and is about to run.
    pub fn go(&self) {
        if let Link::Mailbox(server) = &self.0 {
            server.go();
        }
    }

    /// Ends when the mailbox's server has failed. A plugin that fails takes QEMU with it.
    pub async fn failed(&self) {
        match &self.0 {
            Link::Plugin(_) => std::future::pending().await,
            Link::Mailbox(server) => {
                while !server.has_failed() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Asks for one thing; returns the text of the answer.
    pub async fn ask(&self, request: &Control) -> Result<String, ControlError> {
        let connection = match &self.0 {
            Link::Plugin(connection) => connection,
            Link::Mailbox(server) => return words(server.control(request)),
        };
        let mut line = serde_json::to_string(request).expect("a request is plain data");
        line.push('\n');
        let exchange = async {
            let mut stream = connection.lock().await;
            stream.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            if stream.read_line(&mut answer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok(serde_json::from_str(&answer)?)
        };
        words(timeout(LIMIT, exchange).await.map_err(|_| ControlError::Silent)??)
    }
}

fn words(reply: ControlReply) -> Result<String, ControlError> {
    match reply {
        ControlReply::Ok { text } => Ok(text),
        ControlReply::Failed { cause } => Err(ControlError::Refused(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    async fn emulator_answering(answer: &'static str) -> (tempfile::TempDir, Emulator) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let emulator = Emulator::connect(&socket).await.unwrap();
        (dir, emulator)
    }

    #[tokio::test]
    async fn words_come_back() {
        let (_dir, emulator) = emulator_answering("{\"answer\":\"ok\",\"text\":\"SYS_READY\"}\n").await;
        assert_eq!(emulator.ask(&Control::Describe).await.unwrap(), "SYS_READY");
    }

    #[tokio::test]
    async fn refusals_and_silence_are_errors() {
        let (_dir, emulator) = emulator_answering("{\"answer\":\"failed\",\"cause\":\"no\"}\n").await;
        assert!(matches!(emulator.ask(&Control::Describe).await, Err(ControlError::Refused(why)) if why == "no"));
        let (_dir, emulator) = emulator_answering("").await;
        assert!(matches!(emulator.ask(&Control::Describe).await, Err(ControlError::Io(_))));
    }
}
