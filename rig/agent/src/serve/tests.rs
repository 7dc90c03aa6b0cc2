use super::*;
use rig_wire::agent::{MAX_FRAME, read_frame, write_frame};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

/// An agent at the other end of a socket.
struct Peer {
    stream: UnixStream,
    agent: JoinHandle<Result<End, FrameError>>,
}

impl Peer {
    fn new() -> Self {
        let (stream, agents) = UnixStream::pair().unwrap();
        let agent = thread::spawn(move || Arc::new(Agent::new(agents.try_clone().unwrap())).serve(&agents));
        Self { stream, agent }
    }

    fn send(&mut self, id: u64, command: Command) {
        write_frame(&mut self.stream, &Request { id, command }).unwrap();
    }

    fn answer(&mut self) -> (u64, Result<Answer, Failure>) {
        match read_frame(&mut self.stream).unwrap() {
            FromAgent::Done { id, result } => (id, result),
            other => panic!("{other:?}"),
        }
    }

    fn end(self) -> Result<End, FrameError> {
        drop(self.stream);
        self.agent.join().unwrap()
    }
}

#[test]
fn can_answer_with_the_id_of_the_request() {
    let mut peer = Peer::new();
    peer.send(7, Command::Ping);
    assert_eq!(peer.answer(), (7, Ok(Answer::Unit)));
    assert_eq!(peer.end().unwrap(), End::HostLeft);
}

#[test]
fn can_answer_others_while_one_request_is_at_work() {
    let mut peer = Peer::new();
    // Blocks for ever: the other end of the test's own pipe never writes.
    let (reader, _writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    peer.send(1, Command::Read { path });
    peer.send(2, Command::Ping);
    assert_eq!(peer.answer(), (2, Ok(Answer::Unit)));
}

#[test]
fn cannot_have_too_many_requests_at_work() {
    let mut peer = Peer::new();
    let (reader, _writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    for id in 0..=u64::from(AT_ONCE) {
        peer.send(id, Command::Read { path: path.clone() });
    }
    let (id, result) = peer.answer();
    assert_eq!((id, result.unwrap_err().errno), (u64::from(AT_ONCE), Some(libc::EAGAIN)));
}

#[test]
fn can_end_with_power_off_unanswered() {
    let mut peer = Peer::new();
    peer.send(9, Command::PowerOff);
    assert_eq!(peer.end().unwrap(), End::PowerOff(9));
}

#[test]
fn can_refuse_an_unknown_request_and_go_on() {
    let mut peer = Peer::new();
    // The id 5, then a command number that no version has.
    write_frame(&mut peer.stream, &(5u64, 99u32)).unwrap();
    let (id, result) = peer.answer();
    assert_eq!((id, result.unwrap_err().errno), (5, Some(libc::EPROTO)));
    peer.send(6, Command::Ping);
    assert_eq!(peer.answer(), (6, Ok(Answer::Unit)));
}

#[test]
fn can_report_what_failed() {
    let mut peer = Peer::new();
    peer.send(1, Command::Read { path: "/sys/no/such/file".into() });
    let failure = peer.answer().1.unwrap_err();
    assert_eq!(failure.errno, Some(libc::ENOENT));
    assert!(failure.what.contains("/sys/no/such/file"), "{failure:?}");
}

#[test]
fn cannot_mark_a_log_that_nobody_reads() {
    let mut peer = Peer::new();
    peer.send(1, Command::MarkLog { text: "here".into() });
    assert_eq!(peer.answer().1.unwrap_err().errno, Some(libc::ENOENT));
}

#[test]
fn can_report_its_loads() {
    let mut peer = Peer::new();
    let load = rig_wire::agent::Load::Reader { paths: vec!["/proc/version".into()], threads: 1, only: Vec::new() };
    peer.send(1, Command::StartLoad { load });
    assert_eq!(peer.answer(), (1, Ok(Answer::Unit)));
    peer.send(2, Command::StopLoads);
    let (2, Ok(Answer::Loads(reports))) = peer.answer() else { panic!() };
    assert_eq!(reports.len(), 1);
    assert!(reports[0].operations > 0 && reports[0].errors == 0, "{reports:?}");
}

#[test]
fn cannot_go_on_after_a_frame_that_is_too_long() {
    let mut peer = Peer::new();
    io::Write::write_all(&mut peer.stream, &(MAX_FRAME + 1).to_le_bytes()).unwrap();
    assert!(matches!(peer.end(), Err(FrameError::TooLong(_))));
}

#[test]
fn a_host_that_leaves_within_a_frame_has_left() {
    let mut peer = Peer::new();
    io::Write::write_all(&mut peer.stream, &[9, 0, 0, 0, 1]).unwrap();
    assert_eq!(peer.end().unwrap(), End::HostLeft);
}
