//! Ctrl-C: once is a wish, twice is an order.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Time for the last evidence after the second Ctrl-C.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Counts the wishes to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Takes over SIGINT, SIGTERM and SIGHUP of this process. After the second one, whatever the rig is doing, the
    /// process ends within two seconds; QEMU dies with it.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>()?;
        let (count, counted) = watch::channel(0);
        for mut signal in signals {
            let count = count.clone();
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    count.send_modify(|n| *n += 1);
                    if *count.borrow() == 2 {
                        std::thread::spawn(end_soon);
                    }
                }
            });
        }
        Ok(Self(counted))
    }

    /// Waits for the `n`th.
    pub(crate) async fn reached(&self, n: u32) {
        let mut count = self.0.clone();
        if count.wait_for(|c| *c >= n).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn end_soon() {
    std::thread::sleep(LAST_BREATH);
    eprintln!("error: interrupted twice\nhelp: the run folder holds what was written until now");
    std::process::exit(i32::from(crate::trouble::Exit::Environment as u8));
}
