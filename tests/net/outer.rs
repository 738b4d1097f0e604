//! The server inside a loop of the program's own, which waits for the descriptor of `AsFd`.

use super::*;

use std::os::fd::{AsFd, AsRawFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

const COMMENT: &str = ": ping\n\n";

/// A client that needs everything a loop can miss: replies, large output, and a comment, which comes without any event.
fn exercise(addr: SocketAddr, handle: &Handle) {
    let (mut stream, mut other) = (Client::connect(addr), Client::connect(addr));
    let endpoint = stream.open_stream();
    for id in 0..20 {
        assert_eq!(other.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id));
    }
    // More than the kernel takes.
    let large: Vec<u32> = (20..60).collect();
    for id in &large {
        assert_eq!(other.post(&endpoint, &fill(*id, 100_000)), "202");
    }
    for id in large {
        let answer = std::iter::repeat_with(|| stream.through("\n\n")).find(|frame| frame != COMMENT);
        assert!(
            answer.unwrap().starts_with(&format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},"))
        );
    }
    assert_eq!(stream.through("\n\n"), COMMENT);
    handle.shutdown(Duration::ZERO);
}

/// The server, and its client on a thread.
fn start() -> (Listening, JoinHandle<()>) {
    let limits = Limits { keep_alive: Duration::from_millis(200), ..Limits::DEFAULT };
    let listening = server().limits(limits).listen(ANY).unwrap();
    let (addr, handle) = (listening.local_addrs().next().unwrap(), listening.handle());
    (listening, std::thread::spawn(move || exercise(addr, &handle)))
}

fn timespec(wait: Option<Duration>) -> Option<Timespec> {
    wait.map(|wait| Timespec::try_from(wait).unwrap())
}

#[test]
fn it_runs_in_a_loop_of_poll() {
    let (mut listening, client) = start();
    while !listening.is_finished() {
        let wait = listening.poll(Some(Duration::ZERO)).unwrap();
        poll(&mut [PollFd::new(&listening, PollFlags::IN)], timespec(wait).as_ref()).unwrap();
    }
    client.join().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn it_runs_in_a_loop_of_epoll() {
    for flags in [epoll::EventFlags::IN, epoll::EventFlags::IN | epoll::EventFlags::ET] {
        let (mut listening, client) = start();
        let outer = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&outer, listening.as_fd(), epoll::EventData::new_u64(0), flags).unwrap();
        let mut events = Vec::with_capacity(4);
        while !listening.is_finished() {
            let wait = listening.poll(Some(Duration::ZERO)).unwrap();
            events.clear();
            epoll::wait(&outer, rustix::buffer::spare_capacity(&mut events), timespec(wait).as_ref())
                .unwrap();
        }
        client.join().unwrap();
    }
}

#[test]
fn it_runs_in_a_loop_of_mio() {
    let (mut listening, client) = start();
    let mut outer = mio::Poll::new().unwrap();
    let descriptor = listening.as_fd().as_raw_fd();
    let mut source = mio::unix::SourceFd(&descriptor);
    outer.registry().register(&mut source, mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(4);
    while !listening.is_finished() {
        let wait = listening.poll(Some(Duration::ZERO)).unwrap();
        outer.poll(&mut events, wait).unwrap();
    }
    client.join().unwrap();
}
