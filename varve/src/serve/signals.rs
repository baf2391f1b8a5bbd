//! What the operating system asks for: to stop, or to read the configuration again.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// A wish of the operator, from whatever side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Stop in good order (SIGTERM, SIGINT, `/-/quit`).
    Stop,
    /// Load the configuration again (SIGHUP).
    Reload,
}

/// Sends a wish for each signal. The second signal to stop ends the process at once: whoever sends it does not want to
/// wait for the last flush, and a WAL that was not flushed is no worse off than after a crash.
pub(super) fn listen(wishes: mpsc::UnboundedSender<Wish>) -> Result<(), Failure> {
    let failed = |error| Failure::error(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => {
                    tracing::info!(signal = "SIGHUP", "reloading the configuration");
                    let _ = wishes.send(Wish::Reload);
                    continue;
                }
            };
            if stopping {
                tracing::warn!(
                    signal = name,
                    "second signal: exiting at once, without a last flush"
                );
                std::process::exit(1);
            }
            stopping = true;
            tracing::info!(signal = name, "stopping; a second signal exits at once");
            // Nobody listens any more only when the process is stopping already.
            let _ = wishes.send(Wish::Stop);
        }
    });
    Ok(())
}
