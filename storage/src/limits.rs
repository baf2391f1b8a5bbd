//! Limits that protect a process and the formats, each with its reason.

/// Bytes of one WAL segment, decompressed: what a Lambda function of 512 MB can decode with room to spare.
pub const SEGMENT_DECODED_BYTES_MAX: usize = 256 << 20;

/// Labels of one series, as stored: far above any sane exporter, far below what a row may cost.
pub const LABELS_PER_SERIES_MAX: usize = 1_000;

/// Bytes of all names and values of one series' labels.
pub const LABEL_BYTES_PER_SERIES_MAX: usize = 1 << 20;
