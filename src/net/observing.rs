//! What a program is told of the loop and its calls: events, turns, new connections, pages for the operator.
//!
//! *Scope:* the settings of [`Listening`] for it. *Not in scope:* which events there are, which is the engine's.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Listening;
#[cfg(unix)]
use crate::access::peer::{Peer, Principal};
use crate::engine::observe::Event;
use crate::engine::pages::StatusPage;
use crate::protocol::panics::contained;
use crate::service::ended::CallDetails;
use crate::timers::Now;

/// Is told how long each turn took.
pub(super) type TurnHook = Box<dyn FnMut(Duration) + Send>;

impl Listening {
    /// Calls `observer` for every [`Event`]. There is no other logging. A panic of it is counted as [`Stats::observer_panics`](crate::server::stats::Stats::observer_panics).
    pub fn on_event(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.engine.on_event(observer);
    }

    /// As [`on_event`](Listening::on_event), without [`Event::CallEnded`] and [`Event::RequestEnded`]; see
    /// [`Engine::on_event_but_calls`](crate::engine::Engine::on_event_but_calls).
    pub fn on_event_but_calls(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.engine.on_event_but_calls(observer);
    }

    /// Calls `hook` with the socket of every new connection. The hook may set options of the socket, return the peer's
    /// principal, or refuse the peer with an error: the connection is then closed without a response, and so it is if the hook
    /// panics ([`Event::HookPanicked`]). It runs on the loop's thread and must not block. Only on Unix.
    ///
    /// ```
    /// # fn f(listening: &mut mcp_rill::net::Listening) {
    /// use mcp_rill::Principal;
    /// listening.on_accept(|_socket, peer| match peer.address {
    ///     Some(address) if address.ip().is_loopback() => Ok(Some(Principal::new("this machine"))),
    ///     _ => Err(std::io::ErrorKind::PermissionDenied.into()),
    /// });
    /// # }
    /// ```
    #[cfg(unix)]
    pub fn on_accept(
        &mut self,
        hook: impl FnMut(std::os::fd::BorrowedFd<'_>, &Peer) -> io::Result<Option<Principal>> + Send + 'static,
    ) {
        self.accepting.hook = Some(Box::new(hook));
    }

    /// Sets which parts of a request [`Event::CallEnded`] repeats, as
    /// [`Engine::set_call_details`](crate::engine::Engine::set_call_details).
    pub fn set_call_details(&mut self, details: CallDetails) {
        self.engine.set_call_details(details);
    }

    /// Calls `hook` after each turn of the loop with the time that the turn took, from the moment at which it woke up: for that time
    /// nobody else was served. Handlers on the loop's thread count. The hook must not block.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let mut listening = mcp_rill::Server::new("demo", "1.0.0").listen("127.0.0.1:0")?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// listening.on_turn(move |time| drop(tell.send(time)));
    /// listening.poll(Some(std::time::Duration::ZERO))?;
    /// assert!(told.try_recv().is_ok());
    /// # Ok(()) }
    /// ```
    pub fn on_turn(&mut self, hook: impl FnMut(Duration) + Send + 'static) {
        self.turn_hook = Some(Box::new(hook));
    }

    /// Adds a page for the operator, as [`Engine::add_page`](crate::engine::Engine::add_page): on the addresses of
    /// [`also_listen_health`](Listening::also_listen_health), and where the page says so on those for clients.
    ///
    /// # Errors
    /// `InvalidInput` as [`Engine::add_page`](crate::engine::Engine::add_page).
    pub fn add_page(&mut self, page: StatusPage) -> io::Result<()> {
        self.engine.add_page(page).map_err(|problem| io::Error::new(ErrorKind::InvalidInput, problem))
    }

    /// To be called at the end of a turn.
    pub(super) fn tell_turn(&mut self, now: Now) {
        if let Some(hook) = &mut self.turn_hook {
            let time = self.started.elapsed().saturating_sub(now.mono);
            // It is only told of the time, so its panic changes nothing.
            let _ = contained(|| hook(time));
        }
    }
}
