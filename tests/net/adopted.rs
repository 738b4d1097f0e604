//! Sockets that the program opened itself: inherited ones, shared ones, connections accepted elsewhere.

use super::*;

use std::collections::BTreeMap;

use mcp_rill::Peer;
use mcp_rill::engine::Engine;
use mcp_rill::net::{ConnectedSocket, random_id};

/// A server that listens nowhere.
fn unbound(limits: Limits) -> Listening {
    Listening::new(Engine::new(server().limits(limits), random_id).unwrap()).unwrap()
}

/// A listener of the program's own, and how it accepts for the server.
struct Own(TcpListener);

impl Own {
    fn new() -> Own {
        Own(TcpListener::bind(ANY).unwrap())
    }

    fn client(&self) -> Client {
        Client::connect(self.0.local_addr().unwrap())
    }

    fn accepted(&self) -> (ConnectedSocket, Peer) {
        let socket = ConnectedSocket::from(self.0.accept().unwrap().0);
        let peer = socket.peer().unwrap();
        (socket, peer)
    }

    /// A client whose connection was handed to the server.
    fn adopted(&self, listening: &mut Listening) -> Client {
        let client = self.client();
        let (socket, peer) = self.accepted();
        listening.adopt_stream(socket, peer).unwrap();
        client
    }
}

#[test]
fn an_adopted_listener_serves_as_one_that_was_bound() {
    let socket = TcpListener::bind(ANY).unwrap();
    let addr = socket.local_addr().unwrap();
    // One that waits already: most often it is why a service manager has started the program.
    let mut early = Client::connect(addr);
    let mut listening = server().adopt(socket).unwrap();
    assert_eq!(listening.local_addrs().collect::<Vec<_>>(), [addr]);
    listening.also_listen(ANY).unwrap();
    assert_eq!(listening.local_addrs().count(), 2);
    let _running = Running::start(listening);
    let mut late = Client::connect(addr);
    let endpoint = early.open_stream();
    assert_eq!(late.post(&endpoint, &ping(1)), "202");
    assert_eq!(early.through("\n\n"), pong(1));
}

#[test]
fn an_adopted_listener_that_others_can_reach_needs_a_word() {
    let wide = || TcpListener::bind("0.0.0.0:0").unwrap();
    let socket = wide();
    let addr = socket.local_addr().unwrap();
    let error = server().adopt(socket).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with(&format!("{addr}: this can be reached by others")), "{error}");
    assert!(server().insecure_public().adopt(wide()).is_ok());
}

/// The older process ends, and the socket lives on in the newer one.
#[test]
fn a_socket_that_two_servers_share_outlives_the_first() {
    let socket = TcpListener::bind(ANY).unwrap();
    let addr = socket.local_addr().unwrap();
    let older = Running::start(server().adopt(socket.try_clone().unwrap()).unwrap());
    let mut stream = Client::connect(addr);
    let endpoint = stream.open_stream();
    assert_eq!(Client::connect(addr).post(&endpoint, &ping(1)), "202");
    assert_eq!(stream.through("\n\n"), pong(1));
    let mut newer = server().adopt(socket).unwrap();
    older.stop();
    // They wait until the newer one turns.
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(addr)).collect();
    for client in &mut clients {
        client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    turn_until(&mut newer, |newer| newer.stats().refused == 20);
    clients.iter_mut().for_each(|client| drop(client.through(" 404 ")));
}

#[test]
fn an_adopted_connection_is_served_in_the_next_turn() {
    let own = Own::new();
    let mut listening = unbound(Limits::DEFAULT);
    let mut stream = own.adopted(&mut listening);
    listening.poll(None).unwrap();
    assert_eq!(listening.stats().connections, 1);
    let mut other = own.adopted(&mut listening);
    std::thread::scope(|scope| {
        let handle = listening.handle();
        scope.spawn(move || {
            let endpoint = stream.open_stream();
            assert_eq!(other.post(&endpoint, &ping(1)), "202");
            assert_eq!(stream.through("\n\n"), pong(1));
            handle.shutdown(Duration::ZERO);
        });
        listening.run().unwrap();
    });
}

#[test]
fn one_connection_more_than_adopted_waiting_max_is_an_error() {
    let own = Own::new();
    let mut listening = unbound(Limits { adopted_waiting_max: 2, ..Limits::DEFAULT });
    let mut taken = [own.adopted(&mut listening), own.adopted(&mut listening)];
    let mut late = own.client();
    let (socket, peer) = own.accepted();
    let error = listening.adopt_stream(socket, peer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().contains("adopted_waiting_max"), "{error}");
    assert!(late.until_the_end().is_empty());
    listening.poll(None).unwrap();
    // They are served now, so others may wait.
    let more = [own.adopted(&mut listening), own.adopted(&mut listening)];
    turn_until(&mut listening, |listening| listening.stats().connections == 4);
    let _running = start_unbound(listening);
    for client in taken.iter_mut().chain(&mut { more }) {
        client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").through(" 404 ");
    }
}

/// Runs a server that has no address.
fn start_unbound(mut listening: Listening) -> Running {
    listening.also_listen(ANY).unwrap();
    Running::start(listening)
}

#[test]
fn at_connections_max_an_idle_one_makes_room_for_an_adopted_one() {
    let own = Own::new();
    let mut listening = unbound(Limits { connections_max: 2, sessions_max: 1, ..Limits::DEFAULT });
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        if let Event::ConnectionClosed { peer, reason, .. } = event {
            tell.send((peer.address.unwrap(), *reason)).unwrap();
        }
    });
    let mut clients = [own.adopted(&mut listening), own.adopted(&mut listening)];
    for (at, client) in clients.iter_mut().enumerate() {
        client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        turn_until(&mut listening, |listening| listening.stats().refused == at as u64 + 1);
    }
    let mut next = own.adopted(&mut listening);
    next.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    turn_until(&mut listening, |listening| listening.stats().refused == 3);
    next.through(" 404 ");
    let idle = clients[0].socket.local_addr().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(idle, CloseReason::Evicted)]);
}

#[test]
fn the_principal_of_an_adopted_connection_is_kept_unless_the_hook_knows_better() {
    let own = Own::new();
    let mut listening = unbound(Limits::DEFAULT);
    #[cfg(unix)]
    listening.on_accept(|_, peer| match peer.principal.as_ref().map(Principal::name) {
        Some("bob") => Ok(Some(Principal::new("robert"))),
        Some("eve") => Err(ErrorKind::PermissionDenied.into()),
        _ => Ok(None),
    });
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        if let Event::SessionOpened { peer, .. } = event {
            tell.send(peer.principal.as_ref().map(|principal| principal.name().to_owned())).unwrap();
        }
    });
    let mut clients = BTreeMap::new();
    for name in ["ann", "bob", "eve"] {
        clients.insert(name, own.client());
        let (socket, peer) = own.accepted();
        let peer = Peer { principal: Some(Principal::new(name)), ..peer };
        listening.adopt_stream(socket, peer).unwrap();
    }
    let expected = if cfg!(unix) { ["ann", "robert"] } else { ["ann", "bob"] };
    let _running = start_unbound(listening);
    for (name, expected) in ["ann", "bob"].into_iter().zip(expected) {
        clients.get_mut(name).unwrap().open_stream();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some(expected));
    }
    if cfg!(unix) {
        assert!(clients.get_mut("eve").unwrap().until_the_end().is_empty());
    }
}

#[test]
fn a_server_that_shuts_down_adopts_nothing() {
    let own = Own::new();
    let mut listening = unbound(Limits::DEFAULT);
    let mut waiting = own.adopted(&mut listening);
    waiting.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    turn_until(&mut listening, |listening| listening.stats().sessions == 1);
    listening.handle().shutdown(PATIENCE);
    listening.poll(None).unwrap();
    let _late = own.client();
    let (socket, peer) = own.accepted();
    assert_eq!(listening.adopt_stream(socket, peer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(waiting);
    turn_until(&mut listening, |listening| listening.is_finished());
}

#[cfg(unix)]
mod unix {
    use super::*;

    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// A path for a socket, which is removed in the end.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            Place(std::env::temp_dir().join(format!("rill-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn an_adopted_unix_socket_keeps_its_file() {
        let place = Place::new("adopted");
        let mut listening = server().adopt(UnixListener::bind(&place.0).unwrap()).unwrap();
        assert_eq!(listening.local_paths().collect::<Vec<_>>(), [place.0.as_path()]);
        let mut client = UnixStream::connect(&place.0).unwrap();
        client.write_all(b"GET /nothing HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n").unwrap();
        turn_until(&mut listening, |listening| listening.stats().refused == 1);
        let (one, other) = UnixStream::pair().unwrap();
        let socket = ConnectedSocket::from(one);
        let peer = socket.peer().unwrap();
        assert!(peer.unix);
        listening.adopt_stream(socket, peer).unwrap();
        turn_until(&mut listening, |listening| listening.stats().connections_opened == 2);
        drop((listening, other));
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        assert!(place.0.exists());
    }

    #[test]
    fn a_socket_that_cannot_be_served_is_named() {
        let own = Own::new();
        let client = own.client();
        let connected = TcpListener::from(OwnedFd::from(own.0.accept().unwrap().0));
        let error = server().adopt(connected).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.starts_with("127.0.0.1:") && text.contains("does not listen"), "{text}");
        let place = Place::new("kind");
        let other_kind = TcpListener::from(OwnedFd::from(UnixListener::bind(&place.0).unwrap()));
        let error = server().adopt(other_kind).unwrap_err();
        assert!(error.to_string().starts_with("a listening TCP socket: "), "{error}");
        drop(client);
    }
}
