//! Discoveries that can do nothing but look again.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Discovery, DiscoveryError, TargetGroup};

/// Gives all groups as they are.
#[async_trait]
pub(crate) trait Refresh: Debug + Send {
    /// See [`Discovery::refresh`].
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError>;
}

/// Looks again at a fixed rate, which begins with the end of the first look. A look that takes longer than the interval delays
/// the next one, and they never pile up.
#[derive(Debug)]
pub(crate) struct Periodic<R> {
    refresh: R,
    interval: Duration,
    ticker: Option<Interval>,
}

impl<R: Refresh + 'static> Periodic<R> {
    /// Looks every `interval`, which must not be zero.
    pub(crate) fn boxed(interval: Duration, refresh: R) -> Box<dyn Discovery> {
        Box::new(Self {
            refresh,
            interval,
            ticker: None,
        })
    }
}

#[async_trait]
impl<R: Refresh> Discovery for Periodic<R> {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        self.refresh.refresh().await
    }

    async fn changed(&mut self) {
        let interval = self.interval;
        let ticker = self.ticker.get_or_insert_with(|| {
            let mut ticker = interval_at(Instant::now() + interval, interval);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticker
        });
        ticker.tick().await;
    }
}
