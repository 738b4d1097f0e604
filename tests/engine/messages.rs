//! What is read of messages besides what they are for: ids and whose they are, null for what is absent, the ids that
//! refusals have, and errors that name the member that is wrong.

mod ids;
mod members;
mod refusals;

use crate::common::http::{INITIALIZED, Response, mcp_post, request};
use crate::common::{Sock, World};

/// A POST to `/mcp` with these field lines.
fn post_with(fields: &str, body: &str) -> String {
    mcp_post(None, body).replacen("Host: localhost\r\n", &format!("Host: localhost\r\n{fields}"), 1)
}

/// A session of Streamable HTTP.
struct Client {
    id: String,
}

impl Client {
    fn new(world: &mut World, revision: &str) -> Client {
        let info = r#"{"name":"tester","version":"9"}"#;
        let capabilities = r#"{"elicitation":{},"roots":{},"sampling":{}}"#;
        let params = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{info}}}"#
        );
        let sock = world.connect();
        world.send(sock, mcp_post(None, &request(0, "initialize", &params)));
        let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
        let client = Client { id };
        let told = client.post(world, INITIALIZED);
        assert_eq!(told.status, 202);
        client
    }

    /// Posts on a connection of its own, which stays open.
    fn ask(&self, world: &mut World, body: &str) -> Sock {
        let sock = world.connect();
        world.send(sock, mcp_post(Some(&self.id), body));
        sock
    }

    /// Posts what is answered at once.
    fn post(&self, world: &mut World, body: &str) -> Response {
        let sock = self.ask(world, body);
        let response = world.response(sock);
        world.reset(sock);
        response
    }
}
