//! Ctrl-C: the first one asks for an orderly end of the run, the second one ends the process.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Time for the last evidence after the second Ctrl-C.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Counts the signals that ask the rig to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Takes over SIGINT, SIGTERM and SIGHUP of this process, once and for good: what is heard between two runs counts for
    /// the next. After the second one, whatever the rig is doing, the process ends within two seconds; QEMU dies with it.
    pub(crate) fn listen() -> io::Result<Self> {
        static COUNTED: Mutex<Option<watch::Receiver<u32>>> = Mutex::new(None);
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = &*counted {
            return Ok(Self(counted.clone()));
        }
        let listening = start()?;
        *counted = Some(listening.clone());
        Ok(Self(listening))
    }

    /// Whether there was one.
    pub(crate) fn happened(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits for the `n`th.
    pub(crate) async fn reached(&self, n: u32) {
        let mut count = self.0.clone();
        if count.wait_for(|c| *c >= n).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A thread of its own counts, because runs come and go with their runtimes.
fn start() -> io::Result<watch::Receiver<u32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (count, counted) = watch::channel(0);
    {
        let _entered = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            runtime.spawn(listen_to(signal(kind)?, count.clone()));
        }
    }
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(counted)
}

async fn listen_to(mut signal: Signal, count: watch::Sender<u32>) {
    while signal.recv().await.is_some() {
        count.send_modify(|n| *n += 1);
        if *count.borrow() == 1 {
            eprintln!("interrupted: ending the machine and keeping what was recorded; once more ends at once");
        }
        if *count.borrow() == 2 {
            thread::spawn(end_soon);
        }
    }
}

fn end_soon() {
    thread::sleep(LAST_BREATH);
    eprintln!("error: interrupted twice\nhelp: the run folder holds what was written until now");
    std::process::exit(i32::from(crate::trouble::Exit::Environment as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_between_two_runs_counts_for_the_next() {
        drop(Interrupts::listen().unwrap());
        // No run waits for it now; by default it would end the process.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
        let next = Interrupts::listen().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let reached = async { tokio::time::timeout(Duration::from_secs(10), next.reached(1)).await };
        runtime.block_on(reached).unwrap();
        assert!(next.happened());
    }
}
