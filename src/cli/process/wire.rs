//! The messages between the server and the two stages of this program.
//!
//! A request is its length, then fields of counted bytes; a descriptor travels with the first of them. A report is a byte that
//! says which, and counted bytes.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use super::Rlimits;

const LENGTH_BYTES: usize = size_of::<u64>();
/// Stands for a limit that is not set: `setrlimit` takes it for "unlimited" as well.
const UNSET: u64 = u64::MAX;

/// A request as `launch` receives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    pub(super) rlimits: Rlimits,
}

/// What `launch` and the guard send to the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The command did not start, and why.
    Failed(String),
    Exited(i32),
    Signalled(i32),
}

/// The socket that a stage was started with. It is kept from the command.
pub(super) fn socket_on_stdin() -> io::Result<UnixStream> {
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?);
    socket.peer_addr().map_err(|error| io::Error::new(error.kind(), format!("standard input: {error}")))?;
    Ok(socket)
}

/// Returns the request as bytes.
pub(super) fn encode(
    argv: &[OsString],
    env: &[(OsString, OsString)],
    cwd: &Path,
    rlimits: &Rlimits,
) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH_BYTES];
    let mut field = |field: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(field);
    };
    let Rlimits { cpu_seconds, memory_bytes, files, processes } = *rlimits;
    for limit in [cpu_seconds, memory_bytes, files, processes] {
        field(&limit.unwrap_or(UNSET).to_le_bytes());
    }
    field(cwd.as_os_str().as_bytes());
    field(&u64::try_from(argv.len()).unwrap_or(u64::MAX).to_le_bytes());
    argv.iter().for_each(|argument| field(argument.as_bytes()));
    for (name, value) in env {
        field(name.as_bytes());
        field(value.as_bytes());
    }
    let length = u64::try_from(bytes.len() - LENGTH_BYTES).unwrap_or(u64::MAX);
    if let Some(place) = bytes.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Request> {
    let mut rest = bytes;
    let mut field = || {
        let (length, after) = rest.split_first_chunk()?;
        let (field, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        rest = after;
        Some(field)
    };
    let number = |field: &[u8]| Some(u64::from_le_bytes(field.try_into().ok()?));
    let owned = |field: &[u8]| OsString::from_vec(field.to_vec());
    let mut limits = [None; 4];
    for limit in &mut limits {
        *limit = Some(number(field()?)?).filter(|value| *value != UNSET);
    }
    let [cpu_seconds, memory_bytes, files, processes] = limits;
    let cwd = PathBuf::from(owned(field()?));
    let count = number(field()?)?;
    let mut argv = Vec::new();
    for _ in 0..count {
        argv.push(owned(field()?));
    }
    let mut env = Vec::new();
    while let Some(name) = field() {
        env.push((owned(name), owned(field()?)));
    }
    let rlimits = Rlimits { cpu_seconds, memory_bytes, files, processes };
    rest.is_empty().then_some(Request { argv, env, cwd, rlimits })
}

/// Writes as much of a request as the socket takes, with the descriptor in front. Returns how many bytes that was.
pub(super) fn send(socket: &UnixStream, bytes: &[u8], stdin: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = stdin.map(|stdin| [stdin]);
    if let Some(descriptors) = &descriptors {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty())?)
}

/// Waits for a request. Returns it with the descriptor that came along.
pub(super) fn receive(mut socket: &UnixStream) -> io::Result<(Request, Option<OwnedFd>)> {
    let mut length = [0; LENGTH_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut length)];
    let received = rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::empty())?.bytes;
    let mut stdin = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            stdin = descriptors.last().or(stdin);
        }
    }
    if let Some(stdin) = &stdin {
        rustix::io::fcntl_setfd(stdin.as_fd(), FdFlags::CLOEXEC)?;
    }
    if let Some(rest) = length.get_mut(received..) {
        socket.read_exact(rest)?;
    }
    // The memory grows with what arrives.
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    socket.take(length).read_to_end(&mut bytes)?;
    let whole = u64::try_from(bytes.len()) == Ok(length);
    let request = decode(&bytes).filter(|_| whole);
    Ok((request.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the request is not whole"))?, stdin))
}

/// Sends a report. A server that has gone does not need it.
pub(super) fn report(mut socket: &UnixStream, report: &Report) {
    let number;
    let (kind, field) = match report {
        Report::Failed(text) => (b'F', text.as_bytes()),
        Report::Exited(value) | Report::Signalled(value) => {
            number = value.to_le_bytes();
            (if matches!(report, Report::Exited(_)) { b'E' } else { b'S' }, number.as_slice())
        }
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(field);
    let _ = socket.write_all(&bytes);
}

/// Reads all that was reported of a command: how it ended, or why it did not start.
pub(super) fn read_reports(mut bytes: &[u8]) -> Option<Report> {
    let mut last = None;
    while let Some((kind, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        bytes = rest;
        let number = field.try_into().map(i32::from_le_bytes).ok();
        last = Some(match kind {
            b'F' => return Some(Report::Failed(String::from_utf8_lossy(field).into_owned())),
            b'E' => Report::Exited(number?),
            _ => Report::Signalled(number?),
        });
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argv: &[&[u8]]) -> Request {
        Request {
            argv: argv.iter().map(|argument| OsString::from_vec(argument.to_vec())).collect(),
            env: vec![("A".into(), "1=2".into()), ("B".into(), "".into())],
            cwd: PathBuf::from("/"),
            rlimits: Rlimits { cpu_seconds: Some(1), files: Some(0), ..Rlimits::default() },
        }
    }

    fn encoded(Request { argv, env, cwd, rlimits }: &Request) -> Vec<u8> {
        encode(argv, env, cwd, rlimits)
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let sent = request(&[b"/bin/x", b"", b"a\n\xff\0b"]);
        assert_eq!(decode(&encoded(&sent)[LENGTH_BYTES..]), Some(sent));
    }

    #[test]
    fn a_request_that_breaks_off_is_refused() {
        let bytes = encoded(&request(&[b"/bin/x"]));
        let complete = bytes.len() - LENGTH_BYTES;
        // Where an environment ends is only known by the length of the whole.
        let ends_between_variables =
            (0..complete).filter(|end| decode(&bytes[LENGTH_BYTES..LENGTH_BYTES + end]).is_some());
        assert_eq!(ends_between_variables.collect::<Vec<_>>().len(), 2);
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &bytes[..bytes.len() - 1], None).unwrap();
        drop(ours);
        assert_eq!(receive(&theirs).unwrap_err().to_string(), "the request is not whole");
    }

    #[test]
    fn a_descriptor_comes_with_the_request() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let bytes = encoded(&request(&[b"/bin/x"]));
        assert_eq!(send(&ours, &bytes, Some(reader.as_fd())).unwrap(), bytes.len());
        writer.write_all(b"in").unwrap();
        drop((reader, writer));
        let (request, stdin) = receive(&theirs).unwrap();
        assert_eq!(request.argv, ["/bin/x"]);
        let mut text = String::new();
        std::fs::File::from(stdin.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "in");
    }

    #[test]
    fn a_failure_to_start_is_what_counts() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        report(&ours, &Report::Failed("no such program".into()));
        report(&ours, &Report::Exited(127));
        drop(ours);
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).unwrap();
        assert_eq!(read_reports(&bytes), Some(Report::Failed("no such program".into())));
        assert_eq!(read_reports(b"E\x04\0\0\0\x03\0\0\0"), Some(Report::Exited(3)));
        assert_eq!(read_reports(b"S\x04\0\0\0\x09\0\0\0"), Some(Report::Signalled(9)));
        assert_eq!(read_reports(b"E\x04\0\0\0\x03"), None);
        assert_eq!(read_reports(b""), None);
    }
}
