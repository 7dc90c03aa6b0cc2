//! The server's thread: QEMU's device is played by the test.

#![allow(unsafe_code, reason = "descriptors come out of a message as numbers")]

mod common;

use common::{Bench, LP_INIT, RAM, SYS_INIT, SYS_RD, leaf, seamcall};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use rig_wire::plan::{Control, ControlReply, Plan};
use seam_emu::{Config, Regs};
use seam_mailbox::slots::Caller;
use seam_mailbox::{RamRange, Server, ServerSpec, Shared};
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// A virtual machine without CPUs.
struct Device {
    _socket: UnixStream,
    memory: Arc<Shared>,
    doorbell: File,
}

fn receive(socket: &UnixStream) -> (i64, Option<OwnedFd>) {
    let mut bytes = [0; 8];
    let mut space = cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).unwrap();
    let descriptor = message.cmsgs().unwrap().find_map(|control| match control {
        // SAFETY: the kernel made this descriptor for us just now.
        ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
        _ => None,
    });
    (i64::from_le_bytes(bytes), descriptor)
}

impl Device {
    fn connect(spec: &ServerSpec) -> Self {
        let socket = UnixStream::connect(&spec.socket).unwrap();
        let mut said: Vec<_> = (0..5).map(|_| receive(&socket)).collect();
        let doorbell = File::from(said[3].1.take().unwrap());
        let memory = Arc::new(Shared::open(said[2].1.take().unwrap()).unwrap());
        Self { _socket: socket, memory, doorbell }
    }

    /// A SEAMCALL as the shim makes it.
    fn call(&self, cpu: usize, regs: Regs) -> (u32, Regs) {
        let caller = Caller::new(Arc::clone(&self.memory), cpu);
        let (number, sleeps) = caller.post(&seamcall(regs));
        if sleeps {
            (&self.doorbell).write_all(&1u64.to_ne_bytes()).unwrap();
        }
        let start = Instant::now();
        loop {
            if let Some(answer) = caller.collect(number) {
                return answer;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::yield_now();
        }
    }
}

fn start(bench: &Bench, cpus: usize, spins: bool) -> (Server, ServerSpec) {
    let spec = ServerSpec {
        cpus,
        ram_bytes: RAM,
        ram: vec![RamRange { base: 0, size: RAM as u64, offset: 0 }],
        socket: bench.dir.path().join("ivshmem.sock"),
        spins,
    };
    (Server::start(&bench.plan, &spec).unwrap(), spec)
}

fn serve(spins: bool, change: impl FnOnce(&mut Plan<Config>)) -> (Bench, Server, Device) {
    let bench = Bench::new(4, change);
    let (server, spec) = start(&bench, 4, spins);
    let device = Device::connect(&spec);
    (bench, server, device)
}

#[test]
fn many_cpus_are_served_at_once() {
    for spins in [false, true] {
        let (bench, server, device) = serve(spins, |_| {});
        assert_eq!(device.call(0, leaf(SYS_INIT)).1.rax, 0);
        scope(|scope| {
            for cpu in 0..4 {
                let device = &device;
                scope.spawn(move || {
                    assert_eq!(device.call(cpu, leaf(LP_INIT)).1.rax, 0);
                    for _ in 0..50 {
                        let regs = Regs { rdx: 0x0800_0001_0000_0004, ..leaf(SYS_RD) };
                        let (outcome, after) = device.call(cpu, regs);
                        assert_eq!((outcome, after.rax, after.r8), (0, 0, 1), "the module's major version");
                    }
                });
            }
        });
        assert!(!server.has_failed());
        assert!(bench.records().len() > 400);
    }
}

#[test]
fn a_sleeping_server_hears_the_doorbell() {
    let (_bench, _server, device) = serve(false, |_| {});
    let start = Instant::now();
    while device.memory.word32(64).load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "it never sleeps");
    }
    let start = Instant::now();
    device.call(0, leaf(SYS_INIT));
    assert!(start.elapsed() < Duration::from_millis(90), "it slept on: {:?}", start.elapsed());
}

#[test]
fn frozen_it_answers_nobody() {
    let (_bench, server, device) = serve(false, |_| {});
    server.freeze();
    let caller = Caller::new(Arc::clone(&device.memory), 2);
    let (number, _) = caller.post(&seamcall(leaf(SYS_INIT)));
    (&device.doorbell).write_all(&1u64.to_ne_bytes()).unwrap();
    sleep(Duration::from_millis(30));
    assert_eq!(caller.collect(number), None);
    server.go();
    let start = Instant::now();
    while caller.collect(number).is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "it was let go");
    }
}

#[test]
fn the_rig_is_answered_beside_the_guest() {
    let (_bench, server, device) = serve(true, |_| {});
    device.call(0, leaf(SYS_INIT));
    let ControlReply::Ok { text } = server.control(&Control::Describe) else { panic!("it describes itself") };
    assert!(text.contains("InitDone"), "{text}");
}

#[test]
fn guest_memory_can_be_mapped_by_its_path() {
    let bench = Bench::new(1, |_| {});
    let (server, spec) = start(&bench, 1, false);
    assert_eq!(std::fs::metadata(server.ram_path()).unwrap().len(), spec.ram_bytes as u64);
}
