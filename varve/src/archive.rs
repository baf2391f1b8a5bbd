//! The query side of an archive: the engine, and the API over it without a process around.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use varve_promql::ParseOptions;
use varve_query::api::{
    self, ApiOptions, CorsOrigin, HttpMetrics, ReadOnlyHost, RemoteReadOptions, RuntimeInfo,
};
use varve_query::{Engine, EngineOptions, StoredArchive};
use varve_storage::keys::TenantKeys;
use varve_storage::{StorageUrl, Store};
use varve_table::ArchiveReader;

use crate::arguments::duration;
use crate::failure::Failure;
use crate::version;

/// What queries may use.
#[derive(Clone, Debug, Args)]
pub(crate) struct QueryLimits {
    /// Maximum time a query may take before being aborted
    #[arg(
        long = "query.timeout",
        env = "VARVE_QUERY_TIMEOUT",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration
    )]
    timeout: Duration,

    /// Maximum number of samples (series × steps) a single query may hold
    #[arg(
        long = "query.max-samples",
        env = "VARVE_QUERY_MAX_SAMPLES",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    max_samples: usize,

    /// How far an instant selector looks back for a sample
    #[arg(
        long = "query.lookback-delta",
        env = "VARVE_QUERY_LOOKBACK_DELTA",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration
    )]
    lookback: Duration,

    /// Maximum number of queries executed concurrently
    #[arg(
        long = "query.max-concurrency",
        env = "VARVE_QUERY_MAX_CONCURRENCY",
        value_name = "COUNT",
        default_value_t = 20
    )]
    max_concurrency: usize,

    #[command(flatten)]
    features: Features,
}

/// Parts of Prometheus that have to be asked for.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Features {
    /// Experimental parts of PromQL, by Prometheus's names: promql-experimental-functions, promql-duration-expr,
    /// promql-extended-range-selectors, promql-binop-fill-modifiers, promql-delayed-name-removal, use-start-timestamps; of
    /// ingestion: st-storage, created-timestamp-zero-ingestion, otlp-deltatocumulative, otlp-native-delta-ingestion
    #[arg(
        long = "enable-feature",
        env = "VARVE_ENABLE_FEATURE",
        value_name = "FEATURE",
        value_delimiter = ',',
        global = true
    )]
    names: Vec<String>,
}

impl Features {
    /// The settings of an engine with these. What is not known is said and passed over, as in Prometheus.
    fn engine_options(&self) -> EngineOptions {
        let mut parse = ParseOptions::stable();
        let mut delayed_name_removal = false;
        let mut use_start_timestamps = false;
        for name in &self.names {
            match name.trim() {
                "promql-experimental-functions" => parse.experimental_functions = true,
                "promql-duration-expr" => parse.duration_expressions = true,
                "promql-extended-range-selectors" => parse.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => parse.fill_modifiers = true,
                "promql-delayed-name-removal" => delayed_name_removal = true,
                "use-start-timestamps" => use_start_timestamps = true,
                // About ingestion, or what Varve does in any case.
                "st-storage"
                | "created-timestamp-zero-ingestion"
                | "native-histograms"
                | "exemplar-storage"
                | "otlp-deltatocumulative"
                | "otlp-native-delta-ingestion"
                | "" => {}
                unknown => {
                    tracing::warn!(option = unknown, "Unknown option for --enable-feature");
                }
            }
        }
        EngineOptions {
            delayed_name_removal,
            parse,
            use_start_timestamps,
            ..EngineOptions::default()
        }
    }
}

impl QueryLimits {
    /// The limits of commands that read an archive themselves: somebody waits for the answer, and nobody else asks.
    pub(crate) fn unhurried(features: Features) -> Self {
        Self {
            timeout: Duration::from_secs(3600),
            max_samples: 50_000_000,
            lookback: Duration::from_secs(300),
            max_concurrency: 1,
            features,
        }
    }

    /// Whether any of these features is asked for.
    pub(crate) fn has_feature(&self, features: &[&str]) -> bool {
        let mut names = self.features.names.iter();
        names.any(|name| features.contains(&name.trim()))
    }

    /// How far back queries look for a sample.
    pub(crate) fn lookback(&self) -> Duration {
        self.lookback
    }

    pub(crate) fn api_options(&self) -> ApiOptions {
        ApiOptions {
            query_timeout: self.timeout,
            query_concurrency: self.max_concurrency,
            cors_origin: CorsOrigin::any(),
            lifecycle: false,
            lookback: self.lookback,
            remote_read: RemoteReadOptions::default(),
        }
    }
}

/// The query engine of one tenant.
pub(crate) fn engine(store: &Store, keys: &TenantKeys, limits: &QueryLimits) -> Arc<Engine> {
    let reader = Arc::new(ArchiveReader::new(store.clone(), keys.clone()));
    let archive = StoredArchive::new(reader, store.clone(), Arc::default());
    let options = EngineOptions {
        timeout: limits.timeout,
        lookback_ms: i64::try_from(limits.lookback.as_millis()).unwrap_or(i64::MAX),
        cells_max: limits.max_samples,
        ..limits.features.engine_options()
    };
    Arc::new(Engine::new(Arc::new(archive), options))
}

/// The API over an archive that is only read.
pub(crate) fn read_only_api(url: &StorageUrl, features: Features) -> Result<axum::Router, Failure> {
    let store = Store::open_existing(url).map_err(Failure::error)?;
    let limits = QueryLimits::unhurried(features);
    let host = ReadOnlyHost {
        build_info: version::build_info(),
        runtime_info: RuntimeInfo::default(),
    };
    Ok(api::router(
        engine(&store, &TenantKeys::default(), &limits),
        Arc::new(host),
        Arc::new(HttpMetrics::default()),
        limits.api_options(),
        axum::Router::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(names: &[&str]) -> EngineOptions {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Features { names }.engine_options()
    }

    #[test]
    fn features_have_the_names_of_prometheus() {
        let none = options(&[]);
        assert_eq!(none.parse, ParseOptions::stable());
        assert!(!none.delayed_name_removal && !none.use_start_timestamps);
        assert!(options(&["use-start-timestamps"]).use_start_timestamps);
        assert!(options(&["promql-delayed-name-removal", "other"]).delayed_name_removal);
        let all = [
            "promql-experimental-functions",
            " promql-duration-expr",
            "promql-extended-range-selectors",
            "promql-binop-fill-modifiers",
        ];
        assert_eq!(options(&all).parse, ParseOptions::experimental());
    }
}
