//! The agent's end of the stream: one writer, shared by all threads.

use rig_wire::agent::{FrameError, FromAgent, encode};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Sends messages, one at a time, from any thread.
pub(crate) struct Channel {
    writer: Mutex<Box<dyn Write + Send>>,
}

impl Channel {
    /// A channel into this stream.
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Mutex::new(Box::new(writer)) }
    }

    /// Sends one message.
    pub(crate) fn send(&self, message: &FromAgent) -> Result<(), FrameError> {
        Ok(self.write(&encode(message)?)?)
    }

    /// Sends bytes that are whole frames.
    pub(crate) fn write(&self, frames: &[u8]) -> io::Result<()> {
        // A panic powers the machine off, so no code runs that could meet a poisoned lock.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(frames)?;
        writer.flush()
    }
}
