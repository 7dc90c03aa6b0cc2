//! Requests in, answers out. Each request runs in a thread of its own, so that a long one delays no other.

use crate::channel::Channel;
use crate::exchange::Exchange;
use crate::kmsg::Kmsg;
use crate::load::Loads;
use crate::tds::Tds;
use crate::{blocked, console, enter, execute, failure, files, modules, port, ready, rest, update};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rig_wire::agent::{Answer, Command, Failure, FrameError, FromAgent, Request, body_length, decode};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Requests at work at once; one more is refused.
const AT_ONCE: u32 = 32;
/// Pause between two looks for a host that closed its end.
const AWAY_PAUSE: Duration = Duration::from_millis(20);

/// What the requests share.
struct Agent {
    channel: Channel,
    loads: Loads,
    tds: Tds,
    at_work: AtomicU32,
    /// The kernel's log; not there before it is streamed.
    kmsg: OnceLock<Arc<Kmsg>>,
    /// The machine goes down, and the port with it.
    ending: AtomicBool,
    /// Each request is at its end before the next is read.
    in_turn: bool,
}

/// Why serving a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The rig asked for power-off; the request's id.
    PowerOff(u64),
    /// The host closed its end, maybe in the middle of a frame.
    HostLeft,
}

/// Serves the rig over this port until it asks for power-off. When the host closes its end and opens it again, the
/// agent begins anew with `Ready`; what was asked before goes on.
pub(crate) fn serve_port(port: &File) -> Result<(), Failure> {
    let copy = port.try_clone().map_err(|e| failure::from_io("duplicate the port", &e))?;
    let agent = Arc::new(Agent::new(copy));
    agent.greet()?;
    let kmsg = Arc::new(Kmsg::open()?);
    stream_log(&agent, &kmsg)?;
    loop {
        match agent.serve(port).map_err(|e| failure::refused(libc::EPROTO, e))? {
            End::PowerOff(id) => {
                return agent.take_leave(&kmsg, id);
            }
            End::HostLeft => wait_for_host(port),
        }
        agent.greet()?;
    }
}

/// Serves the rig over this stream, one request after another: while the agent waits for the next, the machine stands still.
pub(crate) fn serve_exchange(stream: Exchange) -> Result<(), Failure> {
    let agent = Arc::new(Agent { in_turn: true, ..Agent::new(stream.clone()) });
    agent.greet()?;
    let kmsg = Arc::new(Kmsg::open()?);
    stream_log(&agent, &kmsg)?;
    match agent.serve(stream).map_err(|e| failure::refused(libc::EPROTO, e))? {
        End::PowerOff(id) => agent.take_leave(&kmsg, id),
        End::HostLeft => Err(failure::refused(libc::EPIPE, "the rig is gone")),
    }
}

fn stream_log(agent: &Arc<Agent>, kmsg: &Arc<Kmsg>) -> Result<(), Failure> {
    let (agent, kmsg) = (Arc::clone(agent), Arc::clone(kmsg));
    agent.kmsg.get_or_init(|| Arc::clone(&kmsg));
    let thread = thread::Builder::new().name("kmsg".into()).spawn(move || {
        let error = kmsg.stream(&agent.channel);
        if !agent.ending.load(Ordering::Acquire) {
            console::say(&format!("the kernel's log no longer reaches the rig: {error}"));
        }
    });
    thread.map(drop).map_err(|e| failure::from_io("start the log's thread", &e))
}

fn wait_for_host(port: &File) {
    while port::host_is_away(port) {
        thread::sleep(AWAY_PAUSE);
    }
}

impl Agent {
    fn new(writer: impl io::Write + Send + 'static) -> Self {
        let channel = Channel::new(writer);
        Self {
            channel,
            loads: Loads::default(),
            tds: Tds::default(),
            at_work: AtomicU32::new(0),
            kmsg: OnceLock::new(),
            ending: AtomicBool::new(false),
            in_turn: false,
        }
    }

    /// The last answer. What the kernel said until now belongs to the run, so it goes first.
    fn take_leave(&self, kmsg: &Kmsg, id: u64) -> Result<(), Failure> {
        self.ending.store(true, Ordering::Release);
        kmsg.send_all(&self.channel).map_err(|e| failure::from_io("send the kernel's log", &e))?;
        self.done(id, Ok(Answer::Unit)).map_err(|e| failure::refused(libc::EIO, e))
    }

    fn mark_log(&self, text: &str) -> Result<(), Failure> {
        let kmsg = self.kmsg.get().ok_or_else(|| failure::refused(libc::ENOENT, "the kernel's log is not read"))?;
        kmsg.mark(text, &self.channel)
    }

    /// Sends the first message.
    fn greet(&self) -> Result<(), Failure> {
        let ready = ready::ready()?;
        self.channel.send(&FromAgent::Ready(ready)).map_err(|e| failure::refused(libc::EIO, e))
    }

    fn done(&self, id: u64, result: Result<Answer, Failure>) -> Result<(), FrameError> {
        self.channel.send(&FromAgent::Done { id, result })
    }

    /// Serves until power-off is asked for or the stream ends. A frame beyond the limit is an error: nobody knows
    /// where the next one begins.
    fn serve(self: &Arc<Self>, mut stream: impl Read) -> Result<End, FrameError> {
        loop {
            let body = match read_body(&mut stream) {
                Err(FrameError::Io(e)) if e.kind() == ErrorKind::UnexpectedEof => return Ok(End::HostLeft),
                other => other?,
            };
            match decode::<Request>(&body) {
                Ok(Request { id, command: Command::PowerOff }) => return Ok(End::PowerOff(id)),
                Ok(request) => self.start(request)?,
                Err(error) => self.refuse(&body, &error)?,
            }
        }
    }

    /// Answers a frame that this version does not understand. Every version's request begins with its id.
    fn refuse(&self, body: &[u8], error: &FrameError) -> Result<(), FrameError> {
        let id = decode_id(body).unwrap_or(u64::MAX);
        let version = rig_wire::agent::PROTOCOL_VERSION;
        let why = format!("no request of protocol {version}, which is all this agent speaks: {error}");
        self.done(id, Err(failure::refused(libc::EPROTO, why)))
    }

    fn start(self: &Arc<Self>, request: Request) -> Result<(), FrameError> {
        let id = request.id;
        if self.at_work.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
            self.at_work.fetch_sub(1, Ordering::AcqRel);
            let why = format!("{AT_ONCE} requests are at work already");
            return self.done(id, Err(failure::refused(libc::EAGAIN, why)));
        }
        if self.in_turn {
            self.work(request);
            return Ok(());
        }
        let agent = Arc::clone(self);
        let thread = thread::Builder::new().name(format!("request-{id}")).spawn(move || agent.work(request));
        thread.map(drop).or_else(|e| {
            self.at_work.fetch_sub(1, Ordering::AcqRel);
            self.done(id, Err(failure::from_io("start a thread for the request", &e)))
        })
    }

    fn work(&self, request: Request) {
        let result = self.execute(request.command);
        self.at_work.fetch_sub(1, Ordering::AcqRel);
        // When the channel fails the reading side sees it too, and ends.
        let _ = self.done(request.id, result);
        reap();
    }

    fn execute(&self, command: Command) -> Result<Answer, Failure> {
        let unit = |()| Answer::Unit;
        match command {
            Command::Ping => Ok(Answer::Unit),
            Command::Rest { ms } => {
                rest::rest(Duration::from_millis(ms.into()));
                Ok(Answer::Unit)
            }
            Command::LoadModule { name, parameters } => modules::load(&name, &parameters).map(unit),
            Command::UnloadModule { name } => modules::unload(&name).map(unit),
            Command::Read { path } => files::read(&path).map(Answer::Bytes),
            Command::ReadPart { path, offset } => files::read_part(&path, offset).map(Answer::Bytes),
            Command::Write { path, data } => files::write(&path, &data).map(unit),
            Command::Update { device, image } => update::update(&self.loads, &device, &image).map(Answer::Update),
            Command::StartLoad { load } => self.loads.start(&load).map(unit),
            Command::StopLoads => Ok(Answer::Loads(self.loads.stop())),
            Command::StartTds { tds } => self.tds.start(&tds).map(unit),
            Command::StopTds => self.tds.stop().map(Answer::Tds),
            Command::StartChurn { churn } => self.tds.start_churn(churn).map(unit),
            Command::StopChurn { when_done } => self.tds.stop_churn(when_done).map(Answer::Churn),
            Command::Enter { tag } => enter::enter(&tag).map(unit),
            Command::Execute { program, arguments } => execute::execute(&program, &arguments).map(Answer::Executed),
            Command::MarkLog { text } => self.mark_log(&text).map(unit),
            Command::BlockedTasks => blocked::tasks().map(Answer::BlockedTasks),
            Command::PowerOff => unreachable!("power-off ends the reading of requests"),
        }
    }
}

fn read_body(stream: &mut impl Read) -> Result<Vec<u8>, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; body_length(prefix)?];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// The id in front of a request whose command may be unknown.
fn decode_id(body: &[u8]) -> Option<u64> {
    // A tuple of one is encoded as its member, and the decoder leaves what follows alone.
    decode::<(u64,)>(body).ok().map(|(id,)| id)
}

/// Takes the status of orphans that the kernel gave to PID 1, unless a program is under way whose status is waited for.
fn reap() {
    let any = || waitpid(None, Some(WaitPidFlag::WNOHANG));
    execute::unless_running(|| while matches!(any(), Ok(status) if status != WaitStatus::StillAlive) {});
}

#[cfg(test)]
mod tests;
