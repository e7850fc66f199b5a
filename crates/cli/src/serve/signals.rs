//! What tells the server to stop.

use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come within such a time are one.
const TOGETHER: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT; elsewhere Ctrl-C.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
}

impl Signals {
    /// From now on they do not end the program.
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The first. Another one does not wait for anything: it ends the program. But not at once, as some send it to the process and
    /// to its group.
    pub(super) async fn first(mut self) {
        let name = self.next().await;
        tracing::info!("{name}: what has been asked is answered, nothing new is accepted");
        tokio::spawn(async move {
            let first = Instant::now();
            let mut name = self.next().await;
            while first.elapsed() < TOGETHER {
                name = self.next().await;
            }
            tracing::warn!("{name} again: what has no answer gets none");
            std::process::exit(1);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // Then there is nothing that could stop it but the system.
            Err(_) => std::future::pending().await,
        }
    }
}
