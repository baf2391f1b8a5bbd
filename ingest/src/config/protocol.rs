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
}

impl ScrapeProtocol {
    /// What is asked for where nothing is configured, the most wanted first.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// The number of formats that Prometheus knows (these and protobuf); the weights in `Accept` start from it.
    const KNOWN: usize = 5;

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
        }
    }

    /// The media type without parameters: what a response with this format has as Content-Type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => {
                "application/openmetrics-text"
            }
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => "text/plain",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::OpenMetricsText0_0_1 => "0.0.1",
            Self::OpenMetricsText1_0_0 | Self::PrometheusText1_0_0 => "1.0.0",
            Self::PrometheusText0_0_4 => "0.0.4",
        }
    }

    /// The `Accept` header for a list of formats.
    pub fn accept_header(protocols: &[Self], escaping: &str) -> String {
        let mut weight = Self::KNOWN + 1;
        let mut header = String::new();
        for protocol in protocols {
            header.push_str(&format!(
                "{};version={}",
                protocol.media_type(),
                protocol.version()
            ));
            // Only the newer text formats know about escaping.
            if protocol.version() == "1.0.0" {
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
        let known = [
            Self::OpenMetricsText0_0_1,
            Self::OpenMetricsText1_0_0,
            Self::PrometheusText0_0_4,
            Self::PrometheusText1_0_0,
        ];
        if let Some(protocol) = known.into_iter().find(|p| p.as_str() == name) {
            return Ok(protocol);
        }
        if name == "PrometheusProto" {
            return error_at(node, "not supported yet: scrape protocol PrometheusProto");
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
