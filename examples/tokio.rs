//! The server in a program on tokio: handlers are futures of the program's own runtime.
//!
//! ```text
//! cargo run --example tokio -- 127.0.0.1:3001          # the server has a thread of its own
//! cargo run --example tokio -- 127.0.0.1:3001 --task   # the server is a task of the runtime (Unix)
//! ```
//!
//! A handler returns at once. It hands its call to the runtime, as a `Reply` that moves into a future; that future reports
//! progress, asks the user, and finishes the call. When the call is cancelled, its future is dropped.
#![allow(missing_docs, reason = "a test uses parts of this program")]

use std::future::Future;
use std::io;
use std::time::Duration;

use mcp_rill::net::Listening;
use mcp_rill::{Call, Deferred, Elicited, Reply, Result, Server, schema};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

schema! { struct Work {
    /// How many steps there are.
    steps: u32 { min 1, max 1000 },
    /// How long each takes, in milliseconds.
    milliseconds: u64 { max 60_000 } = 10,
} }

schema! { struct Book {
    /// The town.
    town: String { length 1..=80 },
} }

schema! { struct Confirm {
    /// Book the room?
    sure: bool,
} }

/// Hands the call to a future, which is dropped when the call is cancelled.
fn spawn<F>(runtime: &Handle, call: &mut Call, work: impl FnOnce(Reply) -> F + Send + 'static) -> Deferred
where
    F: Future<Output = ()> + Send + 'static,
{
    call.defer(|reply: Reply| {
        // The reply moves into a task whose handle it has to know before.
        let (give, take) = oneshot::channel();
        let task = runtime.spawn(async move {
            if let Ok(reply) = take.await {
                work(reply).await;
            }
        });
        let task = task.abort_handle();
        reply.on_cancel(move || task.abort());
        let _ = give.send(reply);
    })
}

async fn work(Work { steps, milliseconds }: Work, reply: Reply) {
    for step in 0..steps {
        reply.progress(step.into(), Some(steps.into()), None);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    reply.finish(format!("{steps} steps"));
}

/// What would be a request to another server.
async fn price(town: &str) -> usize {
    tokio::time::sleep(Duration::from_millis(10)).await;
    40 + town.len()
}

/// The question ends the reply. With the answer the handler runs again, and the next future has it.
async fn book(town: String, answer: Option<Elicited<Confirm>>, reply: Reply) {
    let price = price(&town).await;
    match answer {
        None => reply.elicit::<Confirm>("sure", &format!("Book a room in {town} for {price} €?")),
        Some(Elicited::Accepted(Confirm { sure: true })) => reply.finish(format!("booked for {price} €")),
        Some(_) => reply.finish("nothing was booked"),
    }
}

pub fn server(runtime: Handle) -> Server {
    let other = runtime.clone();
    Server::new("tokio", "1.0.0")
        .tool("work", "Work for a while", move |arguments: Work, call| {
            spawn(&runtime, call, |reply| work(arguments, reply))
        })
        .tool("book", "Book a room", move |Book { town }: Book, call| -> Result<_> {
            let answer = call.answer::<Confirm>("sure")?;
            Ok(spawn(&other, call, |reply| book(town, answer, reply)))
        })
}

/// The server on a thread of its own: the runtime is not touched by what it does.
pub async fn serve_on_thread(listening: Listening) -> io::Result<()> {
    let (tell, end) = oneshot::channel();
    std::thread::Builder::new().name("mcp".to_owned()).spawn(move || tell.send(listening.run()))?;
    end.await.unwrap_or_else(|_| Err(io::Error::other("the server's thread has panicked")))
}

/// The server as a task. Its descriptor is readable when any of its sockets is, or when a future has left something for it.
#[cfg(unix)]
pub async fn serve_as_task(listening: Listening) -> io::Result<()> {
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[allow(
        deprecated,
        reason = "its replacement is unsafe, for types that close their descriptor early; this one keeps it"
    )]
    let mut listening = AsyncFd::with_interest(listening, Interest::READABLE)?;
    loop {
        let wanted = listening.get_mut().poll(Some(Duration::ZERO))?;
        if listening.get_ref().is_finished() {
            return Ok(());
        }
        match wanted {
            // It has left work, to give the other tasks a turn.
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(time) => {
                if let Ok(ready) = tokio::time::timeout(time, listening.readable()).await {
                    ready?.clear_ready();
                }
            }
            None => listening.readable().await?.clear_ready(),
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:3001".to_owned());
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listening = server(runtime.handle().clone()).listen(address)?;
    for address in listening.local_addrs() {
        println!("serving on http://{address}/mcp, Ctrl-C ends it");
    }
    runtime.block_on(async {
        #[cfg(unix)]
        if arguments.next().as_deref() == Some("--task") {
            return serve_as_task(listening).await;
        }
        serve_on_thread(listening).await
    })
}
