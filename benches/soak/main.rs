//! What bounded memory and good order are worth under attack: each part does its worst to a real server, prints what was
//! counted before and after, and fails when a promise is broken.
//!
//! ```text
//! cargo bench --bench soak                    all parts, scaled down to about a minute
//! cargo bench --bench soak -- --full          9,000 sessions, 10,000 resets, 100,000 requests …
//! cargo bench --bench soak -- doors storms    these parts
//! soak --sdks ADDRESS --tokens FILE           the server for real clients (`tests/interop/run soak`)
//! ```
//!
//! Each part is a process of its own with a server in it, so that its memory and descriptors are the server's alone; the
//! clients are a child of that. Sizes scale down to the limit of open files. Linux only: it reads /proc.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for people at a terminal"
)]

#[cfg(target_os = "linux")]
#[path = "../../tests/common/world.rs"]
mod common;
#[cfg(target_os = "linux")]
mod crowd;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod doors;
#[cfg(target_os = "linux")]
mod ending;
#[cfg(target_os = "linux")]
mod fair;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod leaks;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod pipeline;
#[cfg(target_os = "linux")]
mod sdks;
#[cfg(target_os = "linux")]
mod storms;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this program reads /proc, which this system does not have");
}

#[cfg(target_os = "linux")]
fn main() {
    parts::main();
}

#[cfg(target_os = "linux")]
mod parts {
    use std::net::SocketAddr;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    /// A part that takes longer hangs.
    const PART_TIME_MAX: Duration = Duration::from_secs(300);

    /// How much of everything.
    #[derive(Clone, Copy)]
    pub(crate) struct Scale {
        pub(crate) full: bool,
    }

    impl Scale {
        pub(crate) fn of(self, scaled: usize, full: usize) -> usize {
            if self.full { full } else { scaled }
        }
    }

    struct Part {
        name: &'static str,
        serve: fn(Scale),
        /// The clients' side, for parts that have their server in the process.
        clients: Option<fn(SocketAddr, Scale)>,
    }

    const PARTS: [Part; 13] = [
        Part { name: "crowd", serve: crowd::serve, clients: Some(crowd::clients) },
        Part { name: "doors", serve: doors::serve, clients: Some(doors::clients) },
        Part { name: "ledger", serve: ledger::serve, clients: Some(ledger::clients) },
        Part { name: "descriptors", serve: descriptors::serve, clients: None },
        Part { name: "storms", serve: storms::serve, clients: Some(storms::clients) },
        Part { name: "ending", serve: ending::serve, clients: None },
        Part { name: "pipeline", serve: pipeline::serve, clients: Some(pipeline::clients) },
        Part { name: "leaks", serve: leaks::serve, clients: None },
        Part { name: "bodies", serve: fair::budget::serve, clients: Some(fair::budget::clients) },
        Part { name: "places", serve: fair::places::serve, clients: Some(fair::places::clients) },
        Part { name: "queues", serve: fair::queues::serve, clients: Some(fair::queues::clients) },
        Part { name: "copies", serve: fair::copies::serve, clients: Some(fair::copies::clients) },
        Part { name: "turns", serve: fair::turns::serve, clients: Some(fair::turns::clients) },
    ];

    pub(crate) fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let after = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let scale = Scale { full: arguments.iter().any(|argument| argument == "--full") };
        let find = |name: &str| PARTS.iter().find(|part| part.name == name).expect("a part's name");
        if let Some(at) = arguments.iter().position(|argument| argument == "--sdks") {
            return sdks::serve(&arguments[at + 1], &arguments[at + 2..]);
        }
        if let Some(name) = after("--clients") {
            let address = after("--address").unwrap().parse().unwrap();
            return find(&name).clients.unwrap()(address, scale);
        }
        if let Some(name) = after("--part") {
            let serve = find(&name).serve;
            return host::run_loops_for(move || serve(scale));
        }
        if !arguments.iter().any(|argument| argument == "--bench") {
            return println!("run by `cargo bench`");
        }
        let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
        let chosen =
            PARTS.iter().filter(|part| named.is_empty() || named.iter().any(|name| *name == part.name));
        let failed: Vec<&str> = chosen.filter(|part| !run(part, scale)).map(|part| part.name).collect();
        if !failed.is_empty() {
            println!("failed: {}", failed.join(" "));
            std::process::exit(1);
        }
    }

    /// Runs a part in a process of its own; says whether it kept its promises.
    fn run(part: &Part, scale: Scale) -> bool {
        println!("--- {}", part.name);
        let start = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--part", part.name]).args(scale.full.then_some("--full"));
        let mut child = host::Guard(command.spawn().unwrap());
        let passed = loop {
            match child.0.try_wait().unwrap() {
                Some(status) => break status.success(),
                None if start.elapsed() > PART_TIME_MAX => {
                    println!("{} does not end", part.name);
                    break false;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        println!("{} {} in {:.1?}", part.name, if passed { "passed" } else { "FAILED" }, start.elapsed());
        passed
    }
}
