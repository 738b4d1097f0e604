//! The example `tls`, and clients with rustls.

use super::*;

#[path = "../../examples/tls.rs"]
#[allow(clippy::module_inception, reason = "it is the example of that name")]
mod example;

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// The example on a thread, and what its clients have to trust.
struct Tls {
    running: Running,
    certificate: CertificateDer<'static>,
    told: mpsc::Receiver<String>,
}

fn start() -> Tls {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server =
        example::server().tool("fill", "Answer that many bytes", |Fill { bytes }: Fill, _| "x".repeat(bytes));
    let mut listening = server.listen(ANY).unwrap();
    example::secure(&mut listening, certificate.clone(), key).unwrap();
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        if let Event::HandshakeFailed { error, .. } = event {
            let _ = tell.send((*error).to_owned());
        }
    });
    Tls { running: Running::start(listening), certificate, told }
}

impl Tls {
    /// A connection whose client trusts what `trusted` is.
    fn connect_trusting(&self, trusted: &CertificateDer<'static>) -> Client<Secure> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let Client { socket, .. } = Client::connect(self.running.addr);
        Client { socket: StreamOwned::new(session, socket), got: Vec::new(), mask: 0 }
    }

    fn connect(&self) -> Client<Secure> {
        self.connect_trusting(&self.certificate)
    }
}

#[test]
fn http_and_sse_over_tls() {
    let tls = start();
    let (mut stream, mut other) = (tls.connect(), tls.connect());
    let endpoint = stream.open_stream();
    for id in 0..10 {
        assert_eq!(other.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id));
    }
    let add = r#"{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2}}}"#;
    assert_eq!(other.post(&endpoint, add), "202");
    assert!(stream.through("\n\n").contains(r#"{"type":"text","text":"3"}"#));
    // More than the sockets take before it is read.
    let count = (0..).find(|id| other.post(&endpoint, &fill(*id, 100_000)) != "202").unwrap();
    for id in 0..count {
        let frame = stream.through("\n\n");
        assert!(frame.contains(&format!("\"id\":{id},")) && frame.contains(&"x".repeat(100_000)));
    }
    drop((stream, other));
    tls.running.until_empty();
}

/// The client learns by `close_notify` that it has all; without it rustls returns an error.
#[test]
fn a_shutdown_ends_tls_in_good_order() {
    let tls = start();
    let mut stream = tls.connect();
    stream.open_stream();
    tls.running.handle.shutdown(PATIENCE);
    assert!(stream.until_the_end().is_empty());
    tls.running.until_empty();
}

#[cfg(feature = "streamable")]
#[test]
fn streamable_http_over_tls() {
    let tls = start();
    let mut client = tls.connect();
    let initialize = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
        r#""capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#
    );
    client.send(&request("/mcp", initialize));
    let head = client.through("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let id = head.split_once("Mcp-Session-Id: ").unwrap().1.split_once("\r\n").unwrap().0.to_owned();
    client.through(r#""serverInfo""#);
    client.through("}}");
    let call = request("/mcp", &fill(2, 300_000));
    client.send(&call.replacen("\r\n", &format!("\r\nMcp-Session-Id: {id}\r\n"), 1));
    client.through(&"x".repeat(300_000));
}

#[test]
fn clients_that_do_not_trust_it_or_speak_no_tls_are_told_apart() {
    let tls = start();
    let other = start();
    let mut distrusts = tls.connect_trusting(&other.certificate);
    assert!(distrusts.socket.write_all(b"GET ").is_err());
    let told = tls.told.recv_timeout(PATIENCE).unwrap();
    assert!(told.contains("received fatal alert"), "{told}");
    let mut plain = Client::connect(tls.running.addr);
    plain.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    plain.until_the_end();
    let told = tls.told.recv_timeout(PATIENCE).unwrap();
    assert!(told.contains("corrupt message"), "{told}");
    tls.connect().open_stream();
}
