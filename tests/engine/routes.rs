//! Paths that an author serves besides those of MCP.

use mcp_rill::engine::{Engine, EngineConfig};
use mcp_rill::{Limits, RouteResponse, Server, Settings};

use crate::common::http::{Response, get};
use crate::common::{Seen, Sock, World, counted};

fn server() -> Server {
    Server::new("test", "1")
        .route("GET", "/version", |request| {
            assert!(request.body().is_empty());
            RouteResponse::text(200, request.query().unwrap_or("1.2.3")).header("X-Path", request.path())
        })
        .route("POST", "/hook", |request| match request.header("X-Kind") {
            Some("echo") => RouteResponse::new(201).body("application/octet-stream", request.body()),
            _ => RouteResponse::new(204),
        })
        .route("DELETE", "/hook", |_| RouteResponse::new(204))
        .route("GET", "/", |_| RouteResponse::new(200).body("text/html", "<h1>Hello</h1>"))
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn asked(world: &mut World, sock: Sock, request: impl AsRef<[u8]>) -> Response {
    world.send(sock, request);
    world.response(sock)
}

#[test]
fn a_route_is_served_beside_those_of_mcp() {
    let settings = Settings { base_path: "/tools".to_owned(), ..Settings::default() };
    let mut world = World::new(server().settings(settings));
    let sock = world.connect();
    for path in ["/version", "/version/", "/tools/version"] {
        let response = asked(&mut world, sock, get(path));
        assert_eq!((response.status, response.text(), response.header("X-Path")), (200, "1.2.3", Some(path)));
    }
    assert_eq!(asked(&mut world, sock, get("/version?a=b%20c")).text(), "a=b%20c");
    let page = asked(&mut world, sock, get("/"));
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html")));
    // RFC 9110 §9.3.2: the fields of GET, and no body.
    world.send(sock, "HEAD /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = world.take_text(sock);
    assert!(head.contains("Content-Length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let refused = asked(&mut world, sock, post("/version", "", "x"));
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
    assert_eq!(refused.text(), "`/version` takes GET, HEAD, not POST");
    let refused = asked(&mut world, sock, get("/hook"));
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("POST, DELETE")));
    assert_eq!(asked(&mut world, sock, get("/versions")).status, 404);
    assert_eq!(asked(&mut world, sock, get("/%76ersion")).status, 404, "paths are compared as sent");
    let sse = world.open_sse();
    assert!(!sse.id().is_empty());
    world.quiesce();
}

#[test]
fn bodies_are_whole_and_bounded() {
    let limits = Limits { body_bytes_max: 256, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let sock = world.connect();
    let most = "b".repeat(256);
    let echoed = asked(&mut world, sock, post("/hook", "X-Kind: echo\r\n", &most));
    assert_eq!((echoed.status, echoed.text()), (201, most.as_str()));
    let answer = asked(&mut world, sock, post("/hook", "", "up"));
    assert_eq!((answer.status, answer.text()), (204, ""));
    // In pieces, and in chunks.
    let request = post("/hook", "X-Kind: echo\r\n", "in pieces");
    for byte in request.as_bytes() {
        world.send(sock, [*byte]);
    }
    assert_eq!(world.response(sock).text(), "in pieces");
    let chunked = "POST /hook HTTP/1.1\r\nHost: localhost\r\nX-Kind: echo\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
    assert_eq!(asked(&mut world, sock, chunked).text(), "onetwo");
    assert_eq!(asked(&mut world, sock, post("/hook", "", &format!("{most}b"))).status, 413);
    world.quiesce();
}

#[test]
fn host_and_origin_are_checked_before() {
    let mut world = World::new(server());
    let sock = world.connect();
    assert_eq!(asked(&mut world, sock, "GET /version HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
    let foreign = "GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n";
    assert_eq!(asked(&mut world, sock, foreign).status, 403);
    world.quiesce();
}

/// The events of a fault, as the operator hears them.
fn faults(world: &mut World) -> Vec<String> {
    let seen = world.events().into_iter();
    seen.filter_map(|event| if let Seen::HandlerFault(problem) = event { Some(problem) } else { None })
        .collect()
}

const MOST: usize = 2048;

#[test]
fn what_a_handler_does_wrong_is_an_error_of_the_server() {
    let server = Server::new("test", "1")
        .limits(Limits { page_bytes_max: 1 << 10, message_bytes_max: MOST, ..Limits::DEFAULT })
        .route("GET", "/panics", |_| panic!("a handler that fails"))
        .route("GET", "/most", |_| RouteResponse::text(200, "x".repeat(MOST)))
        .route("GET", "/long", |_| RouteResponse::text(200, "x".repeat(MOST + 1)))
        .route("GET", "/split", |_| RouteResponse::new(200).header("X-A", "b\r\nX-B: c"));
    let mut world = World::new(server);
    let sock = world.connect();
    assert_eq!(asked(&mut world, sock, get("/most")).body.len(), MOST);
    for (path, problem) in [
        ("/panics", "the route GET `/panics`: its handler panicked"),
        (
            "/long",
            "the route GET `/long`: the body has 2049 bytes; 2048 are allowed (limit message_bytes_max)",
        ),
        (
            "/split",
            "the route GET `/split`: the header field `X-A` has a name or a value that cannot be sent",
        ),
    ] {
        let response = asked(&mut world, sock, get(path));
        assert_eq!((response.status, response.text()), (500, "the route failed"));
        assert_eq!(faults(&mut world), [problem]);
    }
    assert_eq!(asked(&mut world, sock, get("/most")).status, 200, "it goes on");
    world.quiesce();
}

#[test]
fn what_cannot_be_a_route_is_named_at_the_start() {
    let problem = |method: &str, path: &str| {
        let server = server().health().route(method, path, |_| RouteResponse::new(200));
        Engine::new(server, counted()).unwrap_err()
    };
    for path in
        ["/mcp", "/mcp/", "/sse", "/messages", "/healthz", "/.well-known/oauth-protected-resource/mcp"]
    {
        assert!(problem("GET", path).contains("has a path that the server serves itself"), "{path}");
    }
    for path in ["version", "//a", "/a b", "/a?b", "/é"] {
        assert!(problem("GET", path).contains("must start with one `/`"), "{path}");
    }
    let mounts = Settings { mounts: vec!["git".to_owned()], ..Settings::default() };
    let below = server().settings(mounts).route("GET", "/git/x", |_| RouteResponse::new(200));
    assert!(Engine::new(below, counted()).unwrap_err().contains("below the mount `git`"));
    assert_eq!(problem("GET", "/version/"), "the route GET `/version` was added twice");
    assert_eq!(
        problem("get", "/x"),
        "the method of the route get `/x` must be one of GET, POST, PUT, PATCH, DELETE"
    );
    assert!(problem("HEAD", "/x").contains("must be one of"));
}

#[test]
fn a_service_of_ones_own_has_them_too() {
    let (service, _) = Server::new("test", "1").into_service(mcp_rill::StateKey::new([7; 16])).unwrap();
    let config = EngineConfig::new(Settings::default(), Limits::DEFAULT).unwrap();
    let config = config.route("GET", "/version", |_| RouteResponse::text(200, "1")).unwrap();
    let engine = Engine::with_service(service, config, counted());
    let mut world = World::driving(engine, crate::common::Cut::Whole, crate::common::Cut::Whole);
    let sock = world.connect();
    assert_eq!(asked(&mut world, sock, get("/version")).text(), "1");
    let config = EngineConfig::new(Settings::default(), Limits::DEFAULT).unwrap();
    assert!(config.route("GET", "/sse", |_| RouteResponse::new(200)).is_err());
}

#[cfg(feature = "auth")]
#[test]
fn a_route_wants_a_token_unless_it_is_public() {
    use mcp_rill::{Denied, Principal};
    let server = server()
        .public_route("GET", "/open", |request| {
            RouteResponse::text(200, request.peer().principal.as_ref().map_or("nobody", Principal::name))
        })
        .route("GET", "/whoami", |request| {
            RouteResponse::text(200, request.peer().principal.as_ref().map_or("nobody", Principal::name))
        })
        .authorize(|request| match request.bearer()? {
            "ada" => Ok(Principal::new("ada")),
            _ => Err(Denied::invalid_token("no such token")),
        });
    let mut world = World::new(server);
    let sock = world.connect();
    let with_token =
        |path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ada\r\n\r\n");
    assert_eq!(asked(&mut world, sock, get("/whoami")).status, 401);
    assert_eq!(asked(&mut world, sock, with_token("/whoami")).text(), "ada");
    // The principal of the request before is not that of this one.
    assert_eq!(asked(&mut world, sock, get("/open")).text(), "nobody");
    assert_eq!(asked(&mut world, sock, post("/open", "", "")).status, 401, "another method of its path");
    assert_eq!(asked(&mut world, sock, get("/open/x")).status, 401);
    assert_eq!(asked(&mut world, sock, "GET /open HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
    // Also after tokens may have been withdrawn.
    assert_eq!(asked(&mut world, sock, with_token("/whoami")).text(), "ada");
    world.engine.handle().reauthorize();
    world.advance(std::time::Duration::from_millis(1));
    assert_eq!(asked(&mut world, sock, get("/open")).text(), "nobody");
    world.quiesce();
}

/// Strangers that only open what everybody may open take no places of clients with a token.
#[cfg(feature = "auth")]
#[test]
fn a_public_route_proves_nothing() {
    use mcp_rill::{Denied, Peer, Principal};
    let limits =
        Limits { connections_max: 8, connections_reserve_percent: 0, sessions_max: 4, ..Limits::DEFAULT };
    let server = Server::new("test", "1")
        .limits(limits)
        .public_route("GET", "/open", |_| RouteResponse::new(204))
        .route("GET", "/own", |_| RouteResponse::new(204))
        .authorize(|request| match request.bearer()? {
            "ada" => Ok(Principal::new("ada")),
            _ => Err(Denied::invalid_token("no such token")),
        });
    let mut world = World::new(server);
    let ada: Vec<Sock> = (0..4).map(|_| world.connect()).collect();
    for sock in &ada {
        let own = "GET /own HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ada\r\n\r\n";
        assert_eq!(asked(&mut world, *sock, own).status, 204);
    }
    for number in 2..12 {
        let address = Some(([127, 0, 0, number], 4000).into());
        // As a driver does before it accepts.
        if !world.engine.has_room() {
            world.run();
        }
        let stranger = world.connect_as(Peer { address, loopback: true, ..Peer::default() });
        assert_eq!(asked(&mut world, stranger, get("/open")).status, 204);
        world.advance(std::time::Duration::from_secs(2));
    }
    let closed = ada.iter().filter(|sock| world.closed(**sock)).count();
    assert!(closed <= 1, "{closed} of them were closed");
}
