//! Forwarding: what is in the WAL is sent on to other receivers (`remote_write`).
//!
//! Vocabulary: a *receiver* is one entry of `remote_write`; a *position* is the last segment that a receiver has got; a *batch* is
//! what one request carries of a segment.
//!
//! The WAL is the queue. A [`worker`] reads one segment after the other from the store, turns it into requests ([`outgoing`], [`message`]), and
//! goes on when the receiver has taken all of them ([`client`]). Its [`position`] is stored in the bucket now and then and at the end. So
//! nothing waits in memory but one segment, nothing is lost over a restart, and what is sent twice after a crash are the segments since the last
//! stored position. Segments stay in the bucket until every receiver has them ([`varve_storage::wal::WalHolds`]), for a day at most; what a
//! receiver misses then is logged and counted.
//!
//! Like Prometheus, a new receiver gets what comes from now on. Requests that fail are repeated for ever, unless the answer says that they
//! can never succeed. Unlike in Prometheus, samples are forwarded when their segment is written, so `capacity` and `batch_send_deadline` mean nothing.
//!
//! What is forwarded is the shard that this process writes.

mod client;
mod manager;
mod message;
mod metrics;
mod outgoing;
mod position;
mod proof;
mod worker;

pub use self::manager::{ForwardManager, ForwardOptions, MetadataSource};
pub use self::metrics::ForwardMetrics;

#[cfg(test)]
mod tests;
