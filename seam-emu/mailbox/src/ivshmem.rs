//! QEMU's ivshmem-doorbell: what its server says to a client. Source: docs/specs/ivshmem-spec.rst of QEMU, "Interrupts" and
//! "Client-Server protocol": 8-byte little-endian numbers, some of them with a file descriptor.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

const VERSION: i64 = 0;
/// Stands for the shared memory.
const MEMORY: i64 = -1;
/// The virtual machine's number: a device whose memory is saved with its guest must be the first.
const GUEST: i64 = 0;
/// Our own number among the peers: where a guest rings.
const SERVER: i64 = 1;

/// Tells QEMU its number, the memory, where our doorbell is, and what would interrupt its guest.
pub(crate) fn introduce(
    qemu: &UnixStream,
    memory: BorrowedFd<'_>,
    doorbell: BorrowedFd<'_>,
    interrupt: BorrowedFd<'_>,
) -> io::Result<()> {
    let messages =
        [(VERSION, None), (GUEST, None), (MEMORY, Some(memory)), (SERVER, Some(doorbell)), (GUEST, Some(interrupt))];
    messages.into_iter().try_for_each(|(number, descriptor)| send(qemu, number, descriptor))
}

fn send(qemu: &UnixStream, number: i64, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = number.to_le_bytes();
    let descriptors = descriptor.map(|fd| [fd.as_raw_fd()]);
    let rights = descriptors.as_ref().map(|fds| ControlMessage::ScmRights(fds));
    let sent =
        sendmsg::<()>(qemu.as_raw_fd(), &[IoSlice::new(&bytes)], rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::os::fd::{AsFd, RawFd};

    fn receive(stream: &UnixStream) -> (i64, usize) {
        let mut bytes = [0; 8];
        let mut space = cmsg_space!([RawFd; 1]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).unwrap();
        let is_rights = |c: ControlMessageOwned| matches!(c, ControlMessageOwned::ScmRights(fds) if fds.len() == 1);
        let descriptors = message.cmsgs().unwrap().filter(|_| true).filter_map(|c| is_rights(c).then_some(())).count();
        (i64::from_le_bytes(bytes), descriptors)
    }

    #[test]
    fn qemu_gets_the_device_in_the_order_of_the_protocol() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        introduce(&ours, file.as_fd(), file.as_fd(), file.as_fd()).unwrap();
        let said: Vec<_> = (0..5).map(|_| receive(&theirs)).collect();
        assert_eq!(said, [(0, 0), (0, 0), (-1, 1), (1, 1), (0, 1)]);
    }
}
