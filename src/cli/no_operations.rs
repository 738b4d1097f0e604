//! The twins of what the feature `operations` adds: nothing is counted, there is no console, and no service manager is told.
//! Options that would want these are refused, so most of this is never called.

pub(super) mod activation {
    use std::io;
    use std::time::Duration;

    use crate::cli::Failure;
    use crate::cli::log::Lines;
    use crate::cli::messages::left_out;
    use crate::net::Listening;
    use crate::server::handle::Handle;

    pub(in crate::cli) struct Inherited;

    pub(in crate::cli) fn is_announced() -> bool {
        false
    }

    impl Inherited {
        pub(in crate::cli) fn take() -> Inherited {
            Inherited
        }

        pub(in crate::cli) fn is_empty(&self) -> bool {
            true
        }

        /// Refuses sockets that were handed over to this process: otherwise it would serve another address without a word.
        pub(in crate::cli) fn serve(self, _: &mut Listening) -> Result<(), Failure> {
            let is_for_us =
                std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
            match std::env::var_os("LISTEN_FDS") {
                Some(_) if is_for_us => {
                    let lacks = "serves no sockets that are handed over (LISTEN_FDS)";
                    Err(Failure::usage(left_out("operations", lacks)))
                }
                _ => Ok(()),
            }
        }
    }

    pub(in crate::cli) fn exit_when_idle(_: Handle, _: Duration, _: Duration, _: Lines) -> io::Result<()> {
        Ok(())
    }
}

pub(super) mod console {
    use crate::cli::Failure;
    use crate::runtime::config::EngineConfig;

    pub(in crate::cli) fn add_to(config: EngineConfig) -> Result<EngineConfig, Failure> {
        Ok(config)
    }
}

pub(super) mod metrics {
    use std::time::Duration;

    use crate::cli::Failure;
    use crate::engine::observe::Event;
    use crate::limits::Limits;
    use crate::net::Listening;

    pub(in crate::cli) const PATH: &str = "";

    #[derive(Clone)]
    pub(in crate::cli) struct Metrics;

    impl Metrics {
        pub(in crate::cli) fn new(_: &Limits) -> Metrics {
            Metrics
        }

        pub(in crate::cli) fn add_to(&self, _: &mut Listening, _: bool) -> Result<(), Failure> {
            Ok(())
        }

        pub(in crate::cli) fn observe(&self, _: &Event<'_>) {}

        pub(in crate::cli) fn turned(&self, _: Duration) {}
    }
}

pub(super) mod service_manager {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use crate::server::handle::Handle;

    #[derive(Clone)]
    pub(in crate::cli) struct Manager;

    impl Manager {
        pub(in crate::cli) fn from_environment() -> io::Result<Manager> {
            Ok(Manager)
        }

        pub(in crate::cli) fn tell(&self, _: &str) {}

        pub(in crate::cli) fn begin_reload(&self, _: usize) {}

        pub(in crate::cli) fn end_reload(&self) {}

        pub(in crate::cli) fn watch(&self, _: Handle) -> io::Result<Option<Arc<AtomicBool>>> {
            Ok(None)
        }
    }
}
