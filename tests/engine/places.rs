//! Sessions that nobody ends: which of them gives up its place when a new one is opened, and which never does.

use std::sync::mpsc;
use std::time::Duration;

use crate::common::http::{self, INITIALIZE, call, get, mcp_post, ping, request};
use crate::common::{Seen, Sock, World, demo};
use mcp_rill::testing::Random;
use mcp_rill::{Limits, Peer, Reply, Server};

const S: Duration = Duration::from_secs(1);

fn limits(sessions_max: usize, change: impl FnOnce(&mut Limits)) -> Limits {
    let hour = 3600 * S;
    let mut limits = Limits {
        sessions_max,
        connections_max: 8000,
        initialize_timeout: hour,
        session_idle_timeout: hour,
        keep_alive: 15 * S,
        ..Limits::DEFAULT
    };
    change(&mut limits);
    limits
}

/// A peer of that address and port.
fn at(host: u8, port: u16) -> Peer {
    Peer { address: Some(([192, 0, 2, host], port).into()), ..crate::common::local() }
}

fn initialize() -> String {
    mcp_post(None, &request(0, "initialize", INITIALIZE))
}

/// A session of Streamable HTTP and its connection.
struct Client {
    sock: Sock,
    id: String,
}

impl Client {
    fn open(world: &mut World, host: u8, port: u16) -> Client {
        let sock = world.connect_as(at(host, port));
        Client::open_on(world, sock)
    }

    fn open_on(world: &mut World, sock: Sock) -> Client {
        world.send(sock, initialize());
        let response = world.response(sock);
        let id = response.header("Mcp-Session-Id").unwrap_or_else(|| panic!("{response:?}")).to_owned();
        Client { sock, id }
    }

    fn ask(&self, world: &mut World, body: &str) -> http::Response {
        world.send(self.sock, mcp_post(Some(&self.id), body));
        world.response(self.sock)
    }

    fn work(&self, world: &mut World) {
        assert_eq!(self.ask(world, &call(1, "echo", r#"{"text":"x"}"#)).status, 200);
    }

    /// Whether its session is over; to ask is to use it.
    fn is_over(&self, world: &mut World) -> bool {
        let response = self.ask(world, &ping(9));
        let over = response.status == 404;
        assert_eq!(over, response.messages()[0]["error"]["code"] == -32001, "{response:?}");
        over
    }

    fn get(&self, world: &mut World, host: u8) -> Sock {
        let sock = world.connect_as(at(host, 1));
        let id = &self.id;
        world.send(sock, format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"));
        assert!(world.take_text(sock).starts_with("HTTP/1.1 200"), "a stream");
        sock
    }
}

fn evicted(world: &mut World) -> Vec<(u16, Duration)> {
    let events = world.events().into_iter();
    let evicted = events.filter_map(|event| match event {
        Seen::Evicted(port, idle) => Some((port.unwrap(), idle)),
        _ => None,
    });
    evicted.collect()
}

#[test]
fn the_session_idle_longest_gives_up_its_place() {
    let mut world = World::with(limits(3, |_| {}));
    let clients: Vec<Client> = (0..3)
        .map(|port| {
            world.advance(S);
            let client = Client::open(&mut world, 1, port);
            client.work(&mut world);
            client
        })
        .collect();
    world.advance(S);
    clients[0].work(&mut world);
    world.advance(S);
    // Client 1 has been idle for 3 s.
    let fourth = Client::open(&mut world, 1, 3);
    fourth.work(&mut world);
    assert_eq!(evicted(&mut world), [(1, 3 * S)]);
    assert_eq!((world.stats().sessions, world.stats().sessions_evicted, world.stats().busy), (3, 1, 0));
    let over: Vec<bool> = clients.iter().map(|client| client.is_over(&mut world)).collect();
    assert_eq!(over, [false, true, false]);
    // Over HTTP+SSE there is a place as well.
    world.advance(S);
    fourth.work(&mut world);
    let stream = world.open_sse();
    assert_eq!(evicted(&mut world), [(0, S)]);
    let sock = world.connect();
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    world.quiesce();
}

#[test]
fn a_client_that_only_opens_sessions_ends_none_that_is_used() {
    let mut world = World::with(limits(512, |limits| limits.idle_timeout = 3600 * S));
    let used: Vec<Client> = (0..256)
        .map(|port| {
            let client = Client::open(&mut world, 1, port);
            client.work(&mut world);
            client
        })
        .collect();
    world.advance(60 * S);
    // It initializes, looks at the lists, pings, and leaves: a thousand times.
    let sock = world.connect_as(at(2, 1));
    for at in 0..1000 {
        let client = Client::open_on(&mut world, sock);
        let method = ["tools/list", "resources/list", "resources/templates/list", "prompts/list"][at % 4];
        assert_eq!(client.ask(&mut world, &request(1, method, "{}")).status, 200);
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(client.ask(&mut world, initialized).status, 202);
        assert_eq!(client.ask(&mut world, &ping(2)).status, 200);
    }
    assert_eq!((world.stats().sessions, world.stats().sessions_evicted), (512, 744));
    assert!(evicted(&mut world).iter().all(|(port, _)| *port == 1));
    assert!(used.iter().all(|client| !client.is_over(&mut world)));
    world.quiesce();
}

#[test]
fn a_session_whose_calls_were_all_refused_ends_before_one_that_was_served() {
    let (send, replies) = mpsc::channel::<Reply>();
    // Of 14 connections 5 may wait.
    let change = |limits: &mut Limits| {
        (limits.connections_max, limits.connections_reserve_percent) = (14, 65);
        (limits.idle_timeout, limits.tool_timeout) = (3600 * S, 3600 * S);
    };
    let server = demo::server()
        .limits(limits(7, change))
        .tool("never", "Answer never", move |(), call| call.defer(|reply| send.send(reply)));
    let mut world = World::new(server);
    let honest = Client::open(&mut world, 1, 0);
    honest.work(&mut world);
    let waiting: Vec<Client> = (1..=6)
        .map(|port| {
            world.advance(S);
            let client = Client::open(&mut world, 1, port);
            world.send(client.sock, mcp_post(Some(&client.id), &call(1, "never", "{}")));
            client
        })
        .collect();
    let refused = world.response(waiting[0].sock);
    assert!(refused.status == 503 && refused.text().contains("connections_reserve_percent"), "{refused:?}");
    world.advance(S);
    Client::open(&mut world, 1, 7);
    assert_eq!(evicted(&mut world), [(1, S)], "not the one that is idle longest, and was served");
    assert!(!honest.is_over(&mut world));
    drop(replies);
    world.quiesce();
}

#[test]
fn one_that_has_a_stream_or_a_call_open_stays() {
    let (send, replies) = mpsc::channel::<Reply>();
    let server: Server =
        demo::server()
            .limits(limits(2, |_| {}))
            .tool("work", "Work for a while", move |(), call| call.defer(|reply| send.send(reply)));
    let mut world = World::new(server);
    let (calls, streams) = (Client::open(&mut world, 1, 0), Client::open(&mut world, 1, 1));
    world.send(calls.sock, mcp_post(Some(&calls.id), &call(1, "work", "{}")));
    let reply = replies.try_recv().unwrap();
    let stream = streams.get(&mut world, 1);
    world.advance(S);
    let sock = world.connect_as(at(1, 2));
    let busy = |world: &mut World, seconds: &str| {
        for ask in [initialize(), get("/sse")] {
            world.send(sock, ask);
            let response = world.response(sock);
            assert_eq!((response.status, response.header("Retry-After")), (503, Some(seconds)));
            assert!(response.text().contains("all 2 sessions are in use (limit sessions_max)"));
        }
    };
    // The call may end any moment.
    busy(&mut world, "1");
    let second = calls.get(&mut world, 1);
    // Now both have a stream: if its client is gone, a comment shows it.
    busy(&mut world, "15");
    assert_eq!(world.stats().sessions_evicted, 0);
    world.reset(second);
    reply.finish("done");
    world.tick();
    assert_eq!(world.response(calls.sock).status, 200);
    let third = Client::open_on(&mut world, sock);
    assert_eq!(evicted(&mut world), [(0, Duration::ZERO)]);
    assert!(calls.is_over(&mut world));
    // The end of the stream makes its session one that may go, and the lists are no work.
    world.reset(stream);
    world.advance(S);
    third.work(&mut world);
    let fourth = world.connect_as(at(1, 4));
    Client::open_on(&mut world, fourth);
    assert_eq!(evicted(&mut world), [(1, S)]);
    world.quiesce();
}

#[test]
fn a_peer_that_has_all_it_may_makes_room_for_itself() {
    let mut world = World::with(limits(8, |limits| limits.sessions_per_peer_max = 2));
    let other = Client::open(&mut world, 1, 0);
    world.advance(S);
    let (first, second) = (Client::open(&mut world, 2, 1), Client::open(&mut world, 2, 2));
    first.work(&mut world);
    world.advance(S);
    second.work(&mut world);
    world.advance(S);
    let third = Client::open(&mut world, 2, 3);
    third.work(&mut world);
    assert_eq!(evicted(&mut world), [(1, 2 * S)]);
    let over = [&other, &first, &second, &third].map(|client| client.is_over(&mut world));
    assert_eq!(over, [false, true, false, false]);
    // Streams stay here, too, and the refusal names what is full.
    let streams = [second.get(&mut world, 2), third.get(&mut world, 2)];
    let sock = world.connect_as(at(2, 4));
    for ask in [initialize(), get("/sse")] {
        world.send(sock, ask);
        let response = world.response(sock);
        assert_eq!((response.status, response.header("Retry-After")), (503, Some("15")), "{response:?}");
        let text = "all 2 sessions of this address are in use (limit sessions_per_peer_max)";
        assert!(response.text().contains(text), "{response:?}");
    }
    world.reset(streams[0]);
    Client::open_on(&mut world, sock);
    assert_eq!(evicted(&mut world).len(), 1);
    assert!(!other.is_over(&mut world));
    world.quiesce();
}

#[test]
fn an_initialize_that_fails_takes_no_place() {
    let mut world = World::with(limits(1, |_| {}));
    let sock = world.connect_as(at(1, 1));
    world.send(sock, mcp_post(None, &request(0, "initialize", "{}")));
    assert!(world.response(sock).messages()[0]["error"]["code"] == -32602);
    assert_eq!(world.stats().sessions, 0);
    Client::open_on(&mut world, sock);
    assert_eq!((world.stats().sessions, world.stats().sessions_evicted), (1, 0));
    world.quiesce();
}

#[test]
fn an_initialize_that_fails_ends_no_session() {
    let mut world = World::with(limits(2, |_| {}));
    let clients = [0, 1].map(|port| Client::open(&mut world, 1, port));
    clients.iter().for_each(|client| client.work(&mut world));
    let sock = world.connect_as(at(1, 2));
    for params in ["{}", r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{}}"#] {
        world.send(sock, mcp_post(None, &request(7, "initialize", params)));
        let response = world.response(sock);
        let message = &response.messages()[0];
        assert_eq!((response.status, &message["id"]), (200, &7.into()));
        assert_eq!(message["error"]["code"], -32602);
    }
    assert_eq!((world.stats().sessions, world.stats().sessions_evicted), (2, 0));
    assert!(clients.iter().all(|client| !client.is_over(&mut world)));
    world.quiesce();
}

/// Against a plain list, over a seeded run of openings, uses, lists, streams and ends.
#[test]
fn the_order_agrees_with_a_list() {
    const MAX: usize = 12;
    struct Known {
        port: u16,
        client: Client,
        worked: bool,
        used: Duration,
        stream: Option<Sock>,
    }
    let mut world = World::with(limits(MAX * 2, |limits| {
        limits.sessions_per_peer_max = MAX / 2;
        (limits.keep_alive, limits.idle_timeout) = (3600 * S, 3600 * S);
    }));
    let (mut known, mut random, mut gone) = (Vec::<Known>::new(), Random::new(7), 0);
    for step in 0..3000u16 {
        world.advance(S);
        let pick = random.below(known.len().max(1));
        let now = world.now.mono;
        let host = |port: u16| 1 + (port % 3) as u8;
        match random.below(8) {
            0..=2 => {
                let theirs = known.iter().filter(|known| host(known.port) == host(step)).count();
                let may = |known: &&Known| theirs < MAX / 2 || host(known.port) == host(step);
                let full = theirs >= MAX / 2;
                let idle = known.iter().filter(may).filter(|known| known.stream.is_none() && full);
                let first = idle.min_by_key(|known| (known.worked, known.used)).map(|known| known.port);
                let sock = world.connect_as(at(host(step), step));
                world.send(sock, initialize());
                let response = world.response(sock);
                assert_eq!(response.status, if full && first.is_none() { 503 } else { 200 });
                let evicted = evicted(&mut world);
                assert_eq!(evicted.first().map(|(port, _)| *port), first, "step {step}");
                gone += evicted.len();
                known.retain(|known| Some(known.port) != first);
                if let Some(id) = response.header("Mcp-Session-Id") {
                    let client = Client { sock, id: id.to_owned() };
                    known.push(Known { port: step, client, worked: false, used: now, stream: None });
                }
            }
            3 | 4 if !known.is_empty() => {
                known[pick].client.work(&mut world);
                (known[pick].worked, known[pick].used) = (true, now);
            }
            5 if !known.is_empty() => {
                assert!(!known[pick].client.is_over(&mut world));
                known[pick].used = now;
            }
            6 if !known.is_empty() => {
                match known[pick].stream.take() {
                    Some(stream) => world.reset(stream),
                    None => {
                        let port = known[pick].port;
                        known[pick].stream = Some(known[pick].client.get(&mut world, host(port)));
                    }
                }
                known[pick].used = now;
            }
            7 if !known.is_empty() && random.below(4) == 0 => {
                let Known { client, .. } = known.remove(pick);
                let id = &client.id;
                let delete =
                    format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n");
                world.send(client.sock, delete);
                assert_eq!(world.response(client.sock).status, 200);
            }
            _ => {}
        }
        assert_eq!(world.stats().sessions, known.len());
    }
    assert!(gone > 300, "{gone}");
    world.quiesce();
}

#[test]
fn a_holder_with_fewer_sessions_has_a_place() {
    let mut world = World::with(limits(3, |_| {}));
    let greedy: Vec<(Client, Sock)> = (0..3)
        .map(|port| {
            world.advance(S);
            let client = Client::open(&mut world, 1, port);
            let stream = client.get(&mut world, 1);
            (client, stream)
        })
        .collect();
    world.advance(S);
    let modest = Client::open(&mut world, 2, 9);
    assert_eq!(evicted(&mut world), [(0, 3 * S)], "the one that was opened first");
    assert!(world.ended(greedy[0].1) && !world.ended(greedy[1].1));
    assert!(greedy[0].0.is_over(&mut world) && !modest.is_over(&mut world));
    // They have most, so that they get no more.
    let sock = world.connect_as(at(1, 10));
    world.send(sock, initialize());
    assert_eq!(world.response(sock).status, 503);
    assert!(evicted(&mut world).is_empty() && !world.ended(greedy[1].1));
    world.quiesce();
}
