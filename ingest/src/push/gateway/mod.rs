//! What short-lived jobs push before they end, as Prometheus's Pushgateway takes it: `POST`, `PUT` and `DELETE` of `/metrics/job/<job>{/<label>/<value>}`.
//!
//! Vocabulary: the labels in the path make a *group*; a *push* replaces the metric families of a group that it has (`POST`) or all of them (`PUT`).
//!
//! A Pushgateway is scraped, so what was pushed stays visible until it is deleted. Nobody scrapes an archive: here the samples of a group are written when they are
//! pushed and *repeated* every minute ([`GatewayOptions::repeat`]), with the values of the last push, until the group is replaced, deleted, or was not
//! heard of for a week ([`GatewayOptions::expire`]). Series that go get a stale marker. So queries find what they would find if Prometheus scraped a Pushgateway
//! with `honor_labels: true`, and it costs as many samples.
//!
//! Groups survive a restart as objects, `<tenant>/push-groups/<hash>.json`. An object is written before the samples: if those cannot be stored, the push
//! fails and may be repeated. Their number and bytes are bounded. One process at a time may receive pushes for a tenant: two would repeat each other's
//! groups, and one would not know what the other deletes.
//!
//! Differences from the Pushgateway: names may be any UTF-8; `DELETE` has been done when it is answered; whether a family has another type in another group does not
//! matter; groups expire.

mod families;
mod group;
mod objects;
mod path;
mod routes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use object_store::ObjectStore;
use varve_storage::histogram::FloatHistogram;
use varve_storage::keys::TenantKeys;
use varve_storage::{SampleValue, SeriesRef, stale_nan};

use self::families::{BodyError, Families};
use self::group::Group;
use self::objects::GroupObjects;
use self::path::GroupKey;
pub use self::routes::router;
use super::metrics::add;
use super::routes::{Refused, now_ms};
use super::{PushReceiver, Rejected, RequestBuilder};
use crate::exposition::Format;

/// Samples that are repeated in one append.
const REPEATED_MAX: usize = 100_000;

/// Settings of a [`PushGateway`].
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// How often samples are repeated: less than queries look back.
    pub repeat: Duration,
    /// How long after its last push a group ends by itself; `None` for never.
    pub expire: Option<Duration>,
    /// So many groups are kept.
    pub groups_max: usize,
    /// So many bytes all groups may take as objects; in memory they take a few times as much.
    pub bytes_max: usize,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            repeat: Duration::from_secs(60),
            // Longer than the interval of most jobs.
            expire: Some(Duration::from_secs(7 * 24 * 3600)),
            groups_max: 10_000,
            bytes_max: 64 << 20,
        }
    }
}

/// Takes what jobs push, and repeats it.
#[derive(Debug)]
pub struct PushGateway {
    receiver: Arc<PushReceiver>,
    options: GatewayOptions,
    objects: GroupObjects,
    groups: Mutex<Groups>,
}

/// All groups, and what they take.
#[derive(Debug, Default)]
struct Groups {
    slots: HashMap<GroupKey, Arc<Slot>>,
    bytes: usize,
}

/// The place of a group; whoever changes it holds the lock until that is durable.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    group: Option<Group>,
    /// What it takes as an object.
    bytes: usize,
}

/// What a push does to families that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They stay (`POST`).
    Add,
    /// They go (`PUT`).
    Replace,
}

impl PushGateway {
    /// Reads the groups that are in the archive. They are repeated once [`Self::run`] runs.
    pub async fn open(
        receiver: Arc<PushReceiver>,
        objects: Arc<dyn ObjectStore>,
        keys: TenantKeys,
        options: GatewayOptions,
    ) -> varve_storage::Result<Self> {
        let objects = GroupObjects::new(objects, keys);
        let mut groups = Groups::default();
        for (key, json) in objects.load(options.groups_max, options.bytes_max).await? {
            match Group::from_json(&json, &mut receiver.request(now_ms())) {
                Ok(group) => {
                    let bytes = json.len();
                    groups.bytes += bytes;
                    let slot_key = group.key.clone();
                    let content = Content {
                        group: Some(group),
                        bytes,
                    };
                    let slot = Arc::new(Slot(tokio::sync::Mutex::new(content)));
                    groups.slots.insert(slot_key, slot);
                }
                Err(reason) => {
                    tracing::error!(key, reason, "a pushed group cannot be read and is left out");
                }
            }
        }
        Ok(Self {
            receiver,
            options,
            objects,
            groups: Mutex::new(groups),
        })
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.lock().slots.len()
    }

    /// Repeats all groups, for ever. To stop, drop the future.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.options.repeat.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.repeat(now_ms()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: &GroupKey) -> Result<Arc<Slot>, Refused> {
        let mut groups = self.lock();
        if let Some(slot) = groups.slots.get(key) {
            return Ok(Arc::clone(slot));
        }
        if groups.slots.len() >= self.options.groups_max {
            return Err(full("groups"));
        }
        let slot = Arc::new(Slot::default());
        groups.slots.insert(key.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Forgets a place that is empty, unless somebody else waits for it.
    fn release(&self, key: &GroupKey, slot: Arc<Slot>) {
        let mut groups = self.lock();
        let is_empty = slot
            .0
            .try_lock()
            .is_ok_and(|content| content.group.is_none());
        if is_empty && Arc::strong_count(&slot) == 2 {
            groups.slots.remove(key);
        }
    }

    /// Counts bytes that replace others.
    fn account(&self, before: usize, bytes: usize) -> Result<(), Refused> {
        let mut groups = self.lock();
        let after = groups.bytes.saturating_sub(before).saturating_add(bytes);
        if bytes > before && after > self.options.bytes_max {
            return Err(full("bytes in groups"));
        }
        groups.bytes = after;
        Ok(())
    }

    /// Takes a push; durable on return.
    async fn push(
        &self,
        key: GroupKey,
        mode: Mode,
        format: Format,
        body: &[u8],
        now_ms: i64,
    ) -> Result<(), Refused> {
        add(&self.receiver.metrics().body_bytes, body.len() as u64);
        let read = families::read(body, format, &key, &mut self.receiver.request(now_ms));
        let slot = self.slot(&key)?;
        let mut content = slot.0.lock().await;
        let result = match read {
            Err(BodyError::Malformed(reason)) => Err(Refused::bad_request(reason)),
            Err(BodyError::Inconsistent(reason)) => {
                let mut failed = content.group.clone().unwrap_or_default();
                failed.key = key.clone();
                failed.failed_ms = now_ms;
                if let Err(refused) = self.replace(&mut content, failed, now_ms).await {
                    tracing::warn!(reason = refused.message, "a failed push could not be noted");
                }
                Err(Refused::bad_request(format!(
                    "pushed metrics are invalid or inconsistent with existing metrics: {reason}"
                )))
            }
            Ok(families) => {
                let group = changed(content.group.as_ref(), &key, mode, families, now_ms);
                self.replace(&mut content, group, now_ms).await
            }
        };
        drop(content);
        self.release(&key, slot);
        result
    }

    /// Puts a group in the place of what is there.
    async fn replace(
        &self,
        content: &mut Content,
        mut group: Group,
        now_ms: i64,
    ) -> Result<(), Refused> {
        let json = group.to_json();
        let json = json.map_err(|error| Refused::bad_request(error.to_string()))?;
        let bytes = json.len();
        self.account(content.bytes, bytes)?;
        let result = async {
            self.objects.put(&group.key, json).await.map_err(not_kept)?;
            self.write(content.group.as_ref(), Some(&mut group), now_ms)
                .await
        };
        if let Err(refused) = result.await {
            let mut groups = self.lock();
            groups.bytes = groups.bytes.saturating_sub(bytes) + content.bytes;
            return Err(refused);
        }
        *content = Content {
            group: Some(group),
            bytes,
        };
        Ok(())
    }

    /// Ends a group, if there is one.
    async fn delete(&self, key: &GroupKey, now_ms: i64) -> Result<(), Refused> {
        let Some(slot) = self.lock().slots.get(key).map(Arc::clone) else {
            return Ok(());
        };
        let mut content = slot.0.lock().await;
        let result = self.end(&mut content, now_ms).await;
        drop(content);
        self.release(key, slot);
        result
    }

    async fn end(&self, content: &mut Content, now_ms: i64) -> Result<(), Refused> {
        let Some(group) = &content.group else {
            return Ok(());
        };
        self.objects.delete(&group.key).await.map_err(not_kept)?;
        self.write(Some(group), None, now_ms).await?;
        self.account(content.bytes, 0)?;
        *content = Content::default();
        Ok(())
    }

    /// Stores the samples of a group, and stale markers for series of the one before that it has not.
    async fn write(
        &self,
        before: Option<&Group>,
        after: Option<&mut Group>,
        now_ms: i64,
    ) -> Result<(), Refused> {
        let mut builder = self.receiver.request(now_ms);
        let time_ms = before.map_or(now_ms, |group| group.next_ms(now_ms));
        let mut old = Vec::new();
        let mut new = Vec::new();
        let rejected = |error: Rejected| Refused::bad_request(error.to_string());
        if let Some(group) = before {
            old = group.samples(&mut builder).map_err(rejected)?;
        }
        if let Some(group) = after {
            new = group.samples(&mut builder).map_err(rejected)?;
            group.metadata().for_each(|entry| builder.metadata(entry));
            group.last_ms = time_ms;
        }
        for (series, value) in &new {
            put(&mut builder, series, value, time_ms).map_err(rejected)?;
        }
        for (series, value) in Group::series_but(&old, &new) {
            put(&mut builder, series, &stale(value), time_ms).map_err(rejected)?;
        }
        self.receiver.store(builder.finish()).await?;
        add(&self.receiver.metrics().samples, new.len() as u64);
        Ok(())
    }

    /// Writes the samples of every group once more, and ends those that have expired.
    async fn repeat(&self, now_ms: i64) {
        let slots = self.lock().slots.clone();
        let mut builder = self.receiver.request(now_ms);
        let mut samples = 0;
        for (key, slot) in slots {
            // A group that is being changed is written by that.
            let Ok(mut content) = slot.0.try_lock() else {
                continue;
            };
            let Some(group) = &mut content.group else {
                drop(content);
                self.release(&key, slot);
                continue;
            };
            if self.has_expired(group, now_ms) {
                match self.end(&mut content, now_ms).await {
                    Ok(()) => tracing::info!(labels = ?key.0, "a pushed group has expired"),
                    Err(error) => {
                        tracing::warn!(error = error.message, "a pushed group could not be ended");
                    }
                }
                drop(content);
                self.release(&key, slot);
                continue;
            }
            let time_ms = group.next_ms(now_ms);
            let repeated = group.samples(&mut builder).and_then(|all| {
                let mut each = all.iter();
                each.try_for_each(|(series, value)| put(&mut builder, series, value, time_ms))?;
                Ok(all.len())
            });
            group.last_ms = time_ms;
            match repeated {
                Ok(more) => samples += more,
                Err(error) => tracing::warn!(%error, "a pushed group could not be repeated"),
            }
            drop(content);
            if samples >= REPEATED_MAX {
                let full = std::mem::replace(&mut builder, self.receiver.request(now_ms));
                self.store_repeated(full, samples).await;
                samples = 0;
            }
        }
        self.store_repeated(builder, samples).await;
    }

    async fn store_repeated(&self, builder: RequestBuilder<'_>, samples: usize) {
        match self.receiver.store(builder.finish()).await {
            Ok(()) => add(&self.receiver.metrics().samples, samples as u64),
            Err(error) => tracing::warn!(%error, "pushed groups could not be repeated"),
        }
    }

    fn has_expired(&self, group: &Group, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(group.heard_ms());
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        self.options.expire.is_some_and(|expire| age > expire)
    }
}

/// A group after a push.
fn changed(
    before: Option<&Group>,
    key: &GroupKey,
    mode: Mode,
    families: Families,
    now_ms: i64,
) -> Group {
    let mut group = before.cloned().unwrap_or_default();
    group.key = key.clone();
    if mode == Mode::Replace {
        group.families.clear();
    }
    // A series belongs to one family only, whatever it was part of before.
    let new: std::collections::HashSet<_> = families
        .values()
        .flat_map(|family| family.samples.iter().map(|(series, _)| series.id))
        .collect();
    for family in group.families.values_mut() {
        family
            .samples
            .retain(|(series, _)| !new.contains(&series.id));
    }
    group.families.extend(families);
    group
        .families
        .retain(|_, family| !family.samples.is_empty());
    group.pushed_ms = now_ms;
    group
}

fn put(
    builder: &mut RequestBuilder<'_>,
    series: &SeriesRef,
    value: &SampleValue,
    time_ms: i64,
) -> Result<(), Rejected> {
    match value {
        SampleValue::Float(value) => builder.float(series, time_ms, 0, *value),
        SampleValue::Histogram(histogram) => {
            let histogram = FloatHistogram::clone(histogram);
            builder.histogram(series, time_ms, 0, Ok(histogram))
        }
    }
}

/// The marker that a series has ended, of the kind of its samples.
fn stale(value: &SampleValue) -> SampleValue {
    match value {
        SampleValue::Float(_) => SampleValue::Float(stale_nan()),
        SampleValue::Histogram(_) => SampleValue::Histogram(Arc::new(FloatHistogram {
            sum: stale_nan(),
            ..FloatHistogram::default()
        })),
    }
}

fn full(what: &str) -> Refused {
    Refused {
        status: StatusCode::INSUFFICIENT_STORAGE,
        message: format!("no more {what} can be kept; delete some"),
    }
}

fn not_kept(error: varve_storage::Error) -> Refused {
    Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: format!("the group cannot be kept: {error}"),
    }
}

/// Reads a body and forgets it: what tests with arbitrary bytes call. Whether it could be pushed.
#[doc(hidden)]
pub fn read_any(receiver: &PushReceiver, path: &str, body: &[u8], format: Format) -> bool {
    let Ok(key) = GroupKey::parse(path) else {
        return false;
    };
    let mut builder = receiver.request(0);
    let Ok(families) = families::read(body, format, &key, &mut builder) else {
        return false;
    };
    let group = changed(None, &key, Mode::Replace, families, 0);
    let json = group.to_json().unwrap_or_default();
    Group::from_json(&json, &mut builder).is_ok()
}

#[cfg(test)]
mod tests;
