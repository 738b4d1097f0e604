//! Two servers on one port, each below a path of its own.
//!
//! ```text
//! cargo run --example paths -- 127.0.0.1:3001   # http://127.0.0.1:3001/sums/mcp and http://127.0.0.1:3001/clock/mcp
//! ```
//!
//! A client of one path knows nothing of the other: not its tools, not its sessions, not its state. Both run on one thread, and
//! the limits and settings of the outer server hold for both.

use std::io;

use mcp_rill::{Server, Settings, State, schema};

schema! { struct Add {
    /// What to add to the sum.
    amount: f64,
} }

schema! { struct Set {
    /// The hour, from 0 to 23.
    hour: u32 { max 23 },
} }

fn sums() -> Server<State<f64>> {
    Server::with_state("sums", "1.0.0", 0.0).tool(
        "add",
        "Add to the sum",
        |sum: &mut f64, Add { amount }: Add, _| {
            *sum += amount;
            *sum
        },
    )
}

/// The state is of another type: each server has its own.
fn clock() -> Server<State<u32>> {
    Server::with_state("clock", "1.0.0", 0)
        .tool("set", "Set the clock", |hour: &mut u32, Set { hour: new }: Set, call| {
            *hour = new;
            // Heard by clients of this server only.
            call.handle().resource_updated("clock:///hour");
            "set"
        })
        .resource("clock:///hour", "hour", |hour: &mut u32, _| hour.to_string())
}

fn server() -> Server {
    Server::new("paths", "1.0.0")
        // Without this the outer server is served as well, at /mcp and /sse.
        .settings(Settings { serves_root: false, ..Settings::default() })
        .mount("sums", sums())
        .mount("clock", clock())
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3001".to_owned());
    let listening = server().listen(address)?;
    for address in listening.local_addrs() {
        println!("serving on http://{address}/sums/mcp and http://{address}/clock/mcp, Ctrl-C ends it");
    }
    listening.run()
}

#[test]
fn each_path_has_its_own_server() {
    use mcp_rill::testing::{Harness, Notification};
    use serde_json::json;

    let mut sums = Harness::new(server()).below("sums");
    let (mut clock, mut wall) = (sums.another().below("clock"), sums.another().below("clock"));
    assert!(wall.subscribe("clock:///hour"));
    assert_eq!(sums.call("add", json!({"amount": 2})).text(), "2");
    assert_eq!(sums.call("add", json!({"amount": 0.5})).text(), "2.5");
    assert_eq!(clock.call("set", json!({"hour": 7})).text(), "set");
    assert_eq!(wall.notifications(), [Notification::ResourceUpdated("clock:///hour".into())]);
    assert_eq!((sums.tools(), clock.tools()), (vec!["add".to_owned()], vec!["set".to_owned()]));
    assert_eq!(clock.read("clock:///hour").text(), "7");
    assert!(sums.notifications().is_empty());
}
