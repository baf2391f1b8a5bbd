//! The exposition formats that a scrape asks for.

use super::decode::{error_at, list, string};
use super::error::ConfigError;
use super::yaml::Node;

/// An exposition format (`scrape_protocols`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// OpenMetrics 0.0.1.
    OpenMetricsText0_0_1,
    /// OpenMetrics 1.0.0.
    OpenMetricsText1_0_0,
    /// The text format 0.0.4.
    PrometheusText0_0_4,
    /// The text format with quoted UTF-8 names.
    PrometheusText1_0_0,
    /// Protobuf messages: the only format with native histograms.
    PrometheusProto,
}

impl ScrapeProtocol {
    /// What is asked for where nothing is configured, the most wanted first.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// All formats; the weights in `Accept` start from their number.
    const KNOWN: [Self; 5] = [
        Self::OpenMetricsText0_0_1,
        Self::OpenMetricsText1_0_0,
        Self::PrometheusProto,
        Self::PrometheusText0_0_4,
        Self::PrometheusText1_0_0,
    ];

    /// What is asked for where nothing is configured: protobuf first if native histograms are wanted.
    pub fn defaults(native_histograms: bool) -> Vec<Self> {
        let first = native_histograms.then_some(Self::PrometheusProto);
        first.into_iter().chain(Self::DEFAULT).collect()
    }

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::PrometheusProto => "PrometheusProto",
        }
    }

    /// The media type without parameters: what a response with this format has as Content-Type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => {
                "application/openmetrics-text"
            }
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => "text/plain",
            Self::PrometheusProto => "application/vnd.google.protobuf",
        }
    }

    /// The parameters of the media type.
    fn parameters(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 => "version=0.0.1",
            Self::OpenMetricsText1_0_0 | Self::PrometheusText1_0_0 => "version=1.0.0",
            Self::PrometheusText0_0_4 => "version=0.0.4",
            Self::PrometheusProto => "proto=io.prometheus.client.MetricFamily;encoding=delimited",
        }
    }

    /// Whether the format knows of names that are escaped.
    fn knows_escaping(self) -> bool {
        self.parameters() == "version=1.0.0"
    }

    /// The `Accept` header for a list of formats.
    pub fn accept_header(protocols: &[Self], escaping: &str) -> String {
        let mut weight = Self::KNOWN.len() + 1;
        let mut header = String::new();
        for protocol in protocols {
            header.push_str(&format!(
                "{};{}",
                protocol.media_type(),
                protocol.parameters()
            ));
            if protocol.knows_escaping() {
                header.push_str(&format!(";escaping={escaping}"));
            }
            header.push_str(&format!(";q=0.{weight},"));
            weight -= 1;
        }
        header.push_str(&format!("*/*;q=0.{weight}"));
        header
    }

    /// Reads one format's name.
    pub(crate) fn decode(node: &Node) -> Result<Self, ConfigError> {
        let name = string(node)?;
        if let Some(protocol) = Self::KNOWN.into_iter().find(|p| p.as_str() == name) {
            return Ok(protocol);
        }
        error_at(
            node,
            format!(
                "unknown scrape protocol {name}, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]"
            ),
        )
    }

    /// Reads a list of formats: not empty, none twice.
    pub(crate) fn decode_list(node: &Node) -> Result<Vec<Self>, ConfigError> {
        let protocols = list(node, Self::decode)?;
        if protocols.is_empty() {
            return error_at(node, "scrape_protocols cannot be empty");
        }
        let twice = (1..protocols.len()).any(|i| protocols[..i].contains(&protocols[i]));
        if twice {
            let names: Vec<_> = protocols.iter().map(|p| p.as_str()).collect();
            return error_at(
                node,
                format!(
                    "duplicated protocol in scrape_protocols, got [{}]",
                    names.join(" ")
                ),
            );
        }
        Ok(protocols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_that_of_prometheus_3() {
        assert_eq!(
            ScrapeProtocol::accept_header(&ScrapeProtocol::DEFAULT, "allow-utf-8"),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
    }
}
