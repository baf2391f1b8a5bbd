//! The write-ahead log: where every sample is durable first.
//!
//! # Vocabulary
//! - A **segment** is one immutable object of samples, metadata and exemplars ([`Segment`]; the bytes are in `FORMAT.md`).
//! - A **shard** is a run of segments, numbered from 1 without gaps. Shards are numbered from 0 without gaps.
//! - A **mark** is the last segment of a shard that the table has consumed.
//! - The **tail** is every segment above the marks ([`WalTail`]).
//! - The **grace period** is how long a segment is kept after it was written, consumed or not.
//!
//! # Invariants
//! - An append is all in one segment, and acknowledged only when that is durable and above the mark.
//! - No segment is ever overwritten: names are taken with put-if-absent.
//! - Segments that exist are one unbroken run: written in ascending order, deleted in ascending order ([`delete_consumed`]), and
//!   the one at the mark is never deleted.
//! - A segment that cannot be decoded is passed over, with a warning that names it; nothing else is held up.
//!
//! # Flow
//! 1. [`WalWriter::append`] puts an [`Append`] into the buffer, or waits for room.
//! 2. After the flush interval, or enough bytes, appends are merged: one row per series, duplicates resolved by value.
//! 3. The segment is encoded and put under the next free name; every fault of the store is retried (`appender`).
//! 4. [`AppendTicket::durable`] returns.

mod appender;
mod batch;
mod cleanup;
mod extras;
#[cfg(test)]
mod fixtures;
mod holds;
mod metrics;
mod section;
mod segment;
mod tail;
mod trailer;
mod writer;

use std::time::Duration;

pub use self::batch::{Append, AppendTicket, SampleRow};
pub use self::cleanup::{CleanedUp, delete_consumed};
pub use self::holds::{HOLD_MAX, WalHolds};
pub use self::metrics::{WalCounts, WalMetrics};
pub use self::segment::{Segment, SegmentContent, decode_segment, encode_segment};
pub use self::tail::{CorruptSegment, TailView, WalTail};
pub use self::writer::{WalOptions, WalWriter};

/// How long segments and replaced files are kept, unless configured otherwise: well above the longest query.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(15 * 60);
