//! Blocking queries: each waits on the server until there is something new, or for two minutes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Found, RETRY_INTERVAL, Shared, Start};

/// Keeps what was found up to date, for ever. `start` is the state as of the refresh before.
pub(super) async fn watch_all(shared: Arc<Shared>, start: Start) {
    let mut watches = Watches {
        datacenter: start.datacenter,
        // Its tasks end with it.
        tasks: JoinSet::new(),
        services: BTreeMap::new(),
    };
    let known: Vec<_> = shared
        .found()
        .iter()
        .map(|(name, found)| (name.clone(), found.index))
        .collect();
    for (name, index) in known {
        watches.add(&shared, name, index);
    }
    if shared.config.watches_catalog() {
        watches.follow_catalog(&shared, start.catalog_index).await;
    } else {
        std::future::pending::<()>().await;
    }
}

struct Watches {
    datacenter: String,
    tasks: JoinSet<()>,
    services: BTreeMap<String, AbortHandle>,
}

impl Watches {
    fn add(&mut self, shared: &Arc<Shared>, name: String, index: u64) {
        let watch = watch_service(
            Arc::clone(shared),
            name.clone(),
            self.datacenter.clone(),
            index,
        );
        // The place that the watch fills. Once it is taken away, an answer under way has nowhere to go.
        shared.found().entry(name.clone()).or_default();
        let task = self.tasks.spawn(watch);
        self.services.insert(name, task);
    }

    /// Watches services that appear in the catalog, and forgets those that are gone.
    async fn follow_catalog(&mut self, shared: &Arc<Shared>, mut index: u64) {
        let mut ticker = ticker(shared.config.refresh_interval);
        loop {
            match shared.api.services(index).await {
                Err(error) => {
                    shared.failed("the services", &error);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                // The time was over and nothing had happened.
                Ok(catalog) if catalog.index == index => {}
                Ok(catalog) => {
                    index = catalog.index;
                    for (name, tags) in &catalog.value {
                        if shared.config.wants(name, tags) && !self.services.contains_key(name) {
                            self.add(shared, name.clone(), 0);
                        }
                    }
                    let mut gone = false;
                    self.services.retain(|name, task| {
                        let stays = catalog.value.contains_key(name);
                        if !stays {
                            task.abort();
                            gone |= shared.found().remove(name).is_some();
                        }
                        stays
                    });
                    // Tasks that were ended are collected, so that the set does not grow.
                    while self.tasks.try_join_next().is_some() {}
                    if gone {
                        shared.changes.send_replace(());
                    }
                }
            }
            ticker.tick().await;
        }
    }
}

async fn watch_service(shared: Arc<Shared>, name: String, datacenter: String, mut index: u64) {
    let mut ticker = ticker(shared.config.refresh_interval);
    loop {
        match shared.api.group(&name, &datacenter, index).await {
            Err(error) => {
                shared.failed("a service", &error);
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            Ok(answer) if answer.index == index => {}
            Ok(answer) => {
                index = answer.index;
                let group = answer.value;
                if let Some(found) = shared.found().get_mut(&name) {
                    *found = Found { group, index };
                }
                shared.changes.send_replace(());
            }
        }
        ticker.tick().await;
    }
}

/// Spaces questions: one that was answered early is not followed by another at once.
fn ticker(interval: Duration) -> Interval {
    let mut ticker = interval_at(Instant::now() + interval, interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticker
}
