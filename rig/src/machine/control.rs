//! The client of the emulator's control socket.

use rig_wire::plan::{Control, ControlReply};
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

/// A connection to the emulator in QEMU.
#[derive(Debug)]
pub struct Emulator(Mutex<BufReader<UnixStream>>);

impl Emulator {
    /// Connects. The emulator listens before QEMU opens its monitors.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        Ok(Self(Mutex::new(BufReader::new(UnixStream::connect(socket).await?))))
    }

    /// Asks for one thing; returns the words of the answer.
    pub async fn ask(&self, request: &Control) -> Result<String, ControlError> {
        let mut line = serde_json::to_string(request).expect("a request is plain data");
        line.push('\n');
        let exchange = async {
            let mut stream = self.0.lock().await;
            stream.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            if stream.read_line(&mut answer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok(serde_json::from_str(&answer)?)
        };
        match timeout(LIMIT, exchange).await.map_err(|_| ControlError::Silent)?? {
            ControlReply::Ok { text } => Ok(text),
            ControlReply::Failed { cause } => Err(ControlError::Refused(cause)),
        }
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
