//! A server over TLS, with the crate rustls.
//!
//! ```text
//! cargo run --example tls -- 127.0.0.1:3443 /tmp/mcp.pem
//! curl --cacert /tmp/mcp.pem https://localhost:3443/sse
//! ```
//!
//! It makes a certificate for `localhost` and 127.0.0.1 when it starts, and writes it to the file. A server of yours reads one from
//! files instead.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mcp_rill::net::{Listening, TcpSocket, Transport};
use mcp_rill::{Server, schema};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection: rustls does the work, and the loop is told what rustls keeps.
struct Tls(StreamOwned<ServerConnection, TcpSocket>);

impl Read for Tls {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for Tls {
    fn socket(&mut self) -> &mut TcpSocket {
        &mut self.0.sock
    }

    fn is_handshaking(&self) -> bool {
        self.0.conn.is_handshaking()
    }

    fn has_unsent(&self) -> bool {
        self.0.conn.wants_write()
    }

    fn end_output(&mut self) -> io::Result<()> {
        self.0.conn.send_close_notify();
        Ok(())
    }
}

/// Has all TCP connections of the server speak TLS.
pub fn secure(
    listening: &mut Listening,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> io::Result<()> {
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    listening.on_stream(move |socket, _| {
        let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        Ok(Box::new(Tls(StreamOwned::new(session, socket))))
    });
    Ok(())
}

schema! { struct Add {
    /// First addend.
    a: f64,
    /// Second addend.
    b: f64,
} }

/// A server with one tool.
pub fn server() -> Server {
    Server::new("tls", "1.0.0").tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
}

#[allow(dead_code, reason = "tests use the rest")]
fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3443".to_owned());
    let file = arguments.next().unwrap_or_else(|| "mcp.pem".to_owned());

    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    std::fs::write(&file, made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;

    let mut listening = server().listen(address)?;
    secure(&mut listening, made.cert.into(), key)?;
    listening.on_event(|event| {
        if let mcp_rill::engine::Event::HandshakeFailed { peer, error } = event {
            eprintln!("the handshake with {:?} failed: {error}", peer.address);
        }
    });
    for address in listening.local_addrs() {
        println!("https://localhost:{}/mcp and /sse, with the certificate {file}", address.port());
    }
    listening.run()
}
