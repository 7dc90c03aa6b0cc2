//! The thread that serves a machine's SEAMCALLs: it polls while there is work and sleeps on a doorbell while there is none.

use crate::guest_memory::{GuestRam, RamRange};
use crate::slots::Slots;
use crate::{RequestHandler, Shared, StartError, ivshmem};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use rig_wire::plan::{Control, ControlReply, Plan};
use seam_emu::Config;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a server with a core of its own looks at the slots before it sleeps. A doorbell costs a guest an exit and the host a
/// wake-up, some 5 us on hardware; calls of one update come closer together than this.
const PATIENCE: Duration = Duration::from_micros(50);
/// A hold may end by what another CPU does, which every round sees, or by time: it is looked at this often.
const HOLD_LOOK: Duration = Duration::from_millis(1);
/// Longest sleep. A guest that does not ring where it should waits this long, and only itself.
const LONGEST: Duration = Duration::from_millis(100);

/// What a server needs to know of the machine.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// vCPUs.
    pub cpus: usize,
    /// Guest memory, bytes.
    pub ram_bytes: usize,
    /// Where it lies in the guest-physical address space.
    pub ram: Vec<RamRange>,
    /// Where to listen for QEMU's ivshmem-doorbell device.
    pub socket: PathBuf,
    /// The host has a core for the server beside those for the vCPUs: then it may spin.
    pub spins: bool,
}

/// A running server. Dropping it ends its thread.
#[derive(Debug)]
pub struct Server {
    common: Arc<Common>,
    ram: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Common {
    handler: Mutex<RequestHandler>,
    slots: Slots,
    memory: Arc<Shared>,
    doorbell: EventFd,
    goes: AtomicBool,
    stop: AtomicBool,
    spins: bool,
}

impl Server {
    /// Starts to serve the machine of this plan. Restored firmware waits for [`Server::go`]: until QEMU has loaded its part, the
    /// slots hold no requests.
    pub fn start(plan: &Plan<Config>, spec: &ServerSpec) -> Result<Self, StartError> {
        let ram = Arc::new(Shared::create("seamrig-ram", spec.ram_bytes)?);
        let memory = Arc::new(Shared::create("seamrig-mailbox", Slots::bytes(spec.cpus))?);
        let handler = RequestHandler::new(plan, GuestRam::new(Arc::clone(&ram), spec.ram.clone()))?;
        let common = Arc::new(Common {
            handler: Mutex::new(handler),
            slots: Slots::new(Arc::clone(&memory), spec.cpus),
            memory,
            doorbell: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map_err(io::Error::from)?,
            goes: AtomicBool::new(plan.restore.is_none()),
            stop: AtomicBool::new(false),
            spins: spec.spins,
        });
        let qemu = UnixListener::bind(&spec.socket)?;
        let shared = Arc::clone(&common);
        let thread = thread::Builder::new().name("seam-mailbox".into()).spawn(move || shared.run(&qemu))?;
        Ok(Self { common, ram, thread: Some(thread) })
    }

    /// A path by which QEMU, started by the same user, can map the guest's memory.
    pub fn ram_path(&self) -> PathBuf {
        Path::new("/proc").join(std::process::id().to_string()).join("fd").join(self.ram.file().as_raw_fd().to_string())
    }

    /// The machine was restored and is about to run.
    pub fn go(&self) {
        self.handler().go();
        self.common.goes.store(true, Ordering::Release);
        self.common.wake();
    }

    /// Serves nothing until [`Server::go`]: to be called when the machine is stopped and before QEMU saves its part, or a request
    /// that QEMU saved as open would be closed here.
    pub fn freeze(&self) {
        self.common.goes.store(false, Ordering::Release);
        // A round that was under way has ended when the handler is free.
        drop(self.handler());
    }

    /// Does what the rig asks, between two calls.
    pub fn control(&self, request: &Control) -> ControlReply {
        let reply = self.handler().control(request);
        // What changed may end a hold.
        self.common.wake();
        reply
    }

    /// The thread has ended, which it does by itself only when the firmware model met a defect of its own.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn handler(&self) -> MutexGuard<'_, RequestHandler> {
        self.common.handler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.common.stop.store(true, Ordering::Release);
        self.common.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by `has_failed`.
            let _ = thread.join();
        }
    }
}

impl Common {
    fn wake(&self) {
        // The counter can only be full, and then the thread is woken anyway.
        let _ = self.doorbell.write(1);
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn run(&self, qemu: &UnixListener) {
        let Ok(interrupt) = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC) else { return };
        let Some(device) = self.accept(qemu) else { return };
        let doors = (self.memory.file(), self.doorbell.as_fd(), interrupt.as_fd());
        if ivshmem::introduce(&device, doors.0, doors.1, doors.2).is_err() {
            // QEMU went away; its exit says why.
            self.until_stopped();
            return;
        }
        self.serve();
        drop(device);
    }

    /// Waits for QEMU's device; none: the server is to stop.
    fn accept(&self, qemu: &UnixListener) -> Option<std::os::unix::net::UnixStream> {
        while !self.stops() {
            let mut polled =
                [PollFd::new(qemu.as_fd(), PollFlags::POLLIN), PollFd::new(self.doorbell.as_fd(), PollFlags::POLLIN)];
            let ready = ppoll(&mut polled, Some(TimeSpec::from_duration(LONGEST)), None);
            if ready.is_ok_and(|n| n > 0) && polled[0].any() == Some(true) {
                return qemu.accept().ok().map(|(stream, _)| stream);
            }
        }
        None
    }

    fn until_stopped(&self) {
        while !self.stops() {
            self.sleep(LONGEST);
        }
    }

    fn serve(&self) {
        let mut idle_since = Instant::now();
        while !self.stops() {
            if !self.goes.load(Ordering::Acquire) {
                self.sleep(LONGEST);
                continue;
            }
            let (answered, wait) = self.round();
            if answered > 0 {
                idle_since = Instant::now();
            } else if self.spins && idle_since.elapsed() < PATIENCE {
                std::hint::spin_loop();
            } else if !wait.is_zero() {
                self.slots.set_sleeping(true);
                // A guest that posted a request before the flag was set did not ring the doorbell.
                let (answered, wait) = self.round();
                if answered == 0 {
                    self.sleep(wait);
                }
                self.slots.set_sleeping(false);
                idle_since = Instant::now();
            }
        }
    }

    /// One round over all slots: how many requests were answered, and how long nothing will happen unless a guest rings.
    fn round(&self) -> (usize, Duration) {
        let mut handler = self.handler.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.goes.load(Ordering::Acquire) {
            return (0, LONGEST);
        }
        let round = handler.serve(&self.slots);
        let now_ns = handler.now_ns();
        drop(handler);
        let wait = match round.next_ns {
            None => LONGEST,
            // The CPU is held, and it is not known here what ends the hold.
            Some(0) => HOLD_LOOK,
            Some(next_ns) => Duration::from_nanos(next_ns.saturating_sub(now_ns)).min(LONGEST),
        };
        (round.answered, wait)
    }

    fn sleep(&self, at_most: Duration) {
        let mut polled = [PollFd::new(self.doorbell.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut polled, Some(TimeSpec::from_duration(at_most)), None) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => _ = self.doorbell.read(),
            Err(e) => panic!("cannot wait for the doorbell: {e}"),
        }
    }
}
