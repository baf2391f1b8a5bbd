//! `varve serve`: every role in one process.
//!
//! Flow:
//! 1. Whatever can be wrong is checked before anything runs: the configuration, the address, the storage.
//! 2. The WAL writer, the scrape loops, the compactor and the API start.
//! 3. Signals and `/-/…` send wishes ([`signals::Wish`]): reload keeps the old configuration if the new one is broken.
//! 4. To stop, scraping ends first, then the WAL is flushed, so that everything scraped is in the bucket; the compactor ends
//!    at its next safe point (what it has not committed is invisible), and open requests get a few seconds.

mod arguments;
mod exposition;
mod host;
mod metrics;
mod process;
mod request_line;
mod signals;
mod targets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use varve_compactor::Compactor;
use varve_ingest::forward::{ForwardManager, ForwardOptions};
use varve_ingest::push::gateway::PushGateway;
use varve_ingest::push::{self, PushReceiver};
use varve_ingest::{Config, ScrapeManager};
use varve_query::api::{self, HttpMetrics};
use varve_storage::keys::TenantKeys;
use varve_storage::store::{Store, probe_conditional_put};
use varve_storage::wal::{WalHolds, WalWriter};

pub(crate) use self::arguments::ServeArguments;
use self::host::{Process, Roles};
use self::request_line::Lenient;
use self::signals::Wish;
use crate::failure::Failure;
use crate::{archive, logging};

/// How long requests under way may take when the process stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    arguments: ServeArguments,
    flags: BTreeMap<String, String>,
) -> Result<(), Failure> {
    logging::start(&arguments.log);
    let listener = bind(&arguments.listen_address).await?;
    let address = listener.local_addr().map_err(Failure::error)?;
    let config = load(&arguments, address).await?;
    let store = open(&arguments).await?;
    let keys = TenantKeys::default();

    let wal = WalWriter::open(store.objects(), keys.clone(), 0, arguments.wal_options())
        .await
        .map_err(|e| Failure::error(format!("cannot open the WAL: {e}")))?;
    let wal = Arc::new(wal);
    let receiver = Arc::new(PushReceiver::new(wal.clone(), arguments.push_options()));
    let scrapes = ScrapeManager::new(wal.clone(), arguments.scrape_options());
    let gateway = PushGateway::open(
        receiver.clone(),
        store.objects(),
        keys.clone(),
        arguments.gateway_options(),
    )
    .await
    .map_err(|e| Failure::error(format!("cannot read the groups that were pushed: {e}")))?;
    let gateway = Arc::new(gateway);
    let scrapes = Arc::new(scrapes);
    let holds = Arc::new(WalHolds::default());
    let forward = {
        let scrapes = scrapes.clone();
        ForwardManager::new(ForwardOptions {
            store: store.objects(),
            keys: keys.clone(),
            shard: wal.shard(),
            wal: wal.metrics().clone(),
            holds: holds.clone(),
            metadata: Arc::new(move || {
                let targets = scrapes.metadata().into_iter();
                targets.flat_map(|target| target.metadata).collect()
            }),
        })
    };
    let compactor_options = arguments.compactor_options(holds);
    let compactor = Compactor::new(store.clone(), keys.clone(), compactor_options);

    let (wish, mut wishes) = mpsc::unbounded_channel();
    signals::listen(wish.clone())?;
    let http_metrics = Arc::new(HttpMetrics::default());
    let engine = archive::engine(&store, &keys, &arguments.query);
    let roles = Roles {
        scrapes,
        forward,
        wal,
        receiver: receiver.clone(),
        compactor: compactor.metrics(),
        http: http_metrics.clone(),
        store: store.clone(),
        engine: engine.clone(),
    };
    roles
        .apply(&config)
        .await
        .map_err(|e| Failure::error(format!("cannot start scraping: {e}")))?;
    // Not before it is known what is still to be forwarded.
    let stop_compactor = CancellationToken::new();
    let compaction = {
        let stop = stop_compactor.clone();
        tokio::spawn(async move { compactor.run_loop(stop).await })
    };
    let process = Arc::new(Process::new(
        &arguments, address, flags, config, roles, wish,
    ));
    let repeating = {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.run().await })
    };
    let router = api::router(
        engine,
        process.clone(),
        http_metrics,
        arguments.api_options()?,
        push::routes::router(receiver).merge(push::gateway::router(gateway.clone())),
    );
    tracing::info!(url = %format!("http://{address}/"), storage = %arguments.storage, "ready");

    let stop_http = CancellationToken::new();
    let http = {
        let stop = stop_http.clone();
        // An answer of a few packets must not wait for the acknowledgement of the first.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "cannot switch off Nagle's algorithm");
            }
        });
        let serving = axum::serve(Lenient(listener), router);
        tokio::spawn(
            serving
                .with_graceful_shutdown(stop.cancelled_owned())
                .into_future(),
        )
    };

    while let Some(wish) = wishes.recv().await {
        match wish {
            Wish::Stop => break,
            // The error is in the log already.
            Wish::Reload => drop(process.reload_config().await),
        }
    }
    stop_compactor.cancel();
    repeating.abort();
    process.stop_writing().await?;
    stop_http.cancel();
    if tokio::time::timeout(DRAIN_TIMEOUT, http).await.is_err() {
        tracing::warn!(waited = ?DRAIN_TIMEOUT, "requests were cut off");
    }
    if let Err(error) = compaction.await {
        tracing::error!(%error, "the compactor died");
    }
    tracing::info!("stopped; everything scraped is stored");
    Ok(())
}

async fn bind(address: &str) -> Result<TcpListener, Failure> {
    // Go's short form for every interface.
    let full = match address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => address.to_owned(),
    };
    TcpListener::bind(&full).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; is another Varve or Prometheus running? Choose another with --web.listen-address"
            }
            _ => "",
        };
        Failure::error(format!("cannot listen on {full}: {error}{hint}"))
    })
}

/// The configuration file, or what stands in for it.
async fn load(arguments: &ServeArguments, address: SocketAddr) -> Result<Config, Failure> {
    match &arguments.config_file {
        Some(file) => Config::load(file).map_err(Failure::error),
        None => {
            let config = Config::builtin(address).await;
            let jobs = config.scrape_configs.iter();
            let jobs = jobs.map(|job| job.job_name.as_str()).collect::<Vec<_>>();
            tracing::info!(
                jobs = jobs.join(","),
                "no --config.file: using the built-in targets"
            );
            Ok(config)
        }
    }
}

async fn open(arguments: &ServeArguments) -> Result<Store, Failure> {
    let failed = |error| Failure::error(format!("--storage.url={}: {error}", arguments.storage));
    let store = Store::open(&arguments.storage).map_err(failed)?;
    if arguments.storage.is_remote() {
        probe_conditional_put(store.objects().as_ref())
            .await
            .map_err(failed)?;
    }
    Ok(store)
}
