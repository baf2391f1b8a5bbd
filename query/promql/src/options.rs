//! What the parser accepts.

/// Switches for experimental parts of the language, and limits. The default is a Prometheus without feature flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions marked experimental, and the aggregations `limitk` and `limit_ratio`
    /// (Prometheus: `--enable-feature=promql-experimental-functions`).
    pub experimental_functions: bool,
    /// Arithmetic in durations, such as `[5m * 2]` and `offset step()` (`promql-duration-expr`).
    pub duration_expressions: bool,
    /// The modifiers `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// The modifiers `fill`, `fill_left` and `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
    /// Longest path from the root of the tree to a leaf, in nodes. A chain `a + b + c …` is as deep as it has operators.
    pub depth_max: usize,
    /// Most nodes of a tree, matchers and duration terms included.
    pub nodes_max: usize,
}

impl ParseOptions {
    /// Every experimental part of the language, default limits.
    pub const fn experimental() -> ParseOptions {
        ParseOptions {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..ParseOptions::stable()
        }
    }

    /// Only what Prometheus accepts without feature flags, default limits.
    pub const fn stable() -> ParseOptions {
        ParseOptions {
            experimental_functions: false,
            duration_expressions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            depth_max: 256,
            nodes_max: 10_000,
        }
    }
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions::stable()
    }
}
