//! The task that appends batches and keeps the record.

use tokio::sync::mpsc;
use varve_storage::wal::AppendTicket;

use super::batch::{BATCHES_AHEAD, Batches, Message};
use super::record::ImportRecord;
use super::{ImportCounts, ImportEvent, ImportOptions, ImportSummary, ImportTarget};
use crate::error::{Error, Result};
use crate::merge::BlockGroup;
use crate::meta::BlockMeta;
use crate::source::Folder;
use varve_storage::Labels;

/// The record is written after so many batches (some 64 MiB of samples).
const BATCHES_PER_RECORD: usize = 32;

/// An import that is being made.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) target: &'a ImportTarget<'a>,
    pub(super) options: &'a ImportOptions,
    pub(super) record: ImportRecord,
    pub(super) summary: ImportSummary,
    /// Whether this run imported the head.
    pub(super) head_done: bool,
}

impl<'a> Run<'a> {
    /// Reads the record.
    pub(super) async fn begin(
        target: &'a ImportTarget<'a>,
        options: &'a ImportOptions,
    ) -> Result<Self> {
        let scope = format!("{} {:?}", options.labels, options.range);
        let record = ImportRecord::read(&target.objects, &target.keys, &options.id, &scope).await?;
        Ok(Self {
            target,
            options,
            record,
            summary: ImportSummary::default(),
            head_done: false,
        })
    }

    pub(super) fn tell(&self, event: ImportEvent) {
        (self.options.on_event)(event);
    }

    pub(super) fn skip(&mut self, block: String, reason: impl Into<String>) {
        self.summary.blocks_skipped += 1;
        self.tell(ImportEvent::Skipped {
            block,
            reason: reason.into(),
        });
    }

    /// Says how many blocks there are to do.
    pub(super) fn found(&mut self, blocks: &[&BlockMeta], done: usize) {
        self.tell(ImportEvent::Found {
            blocks: blocks.len(),
            done,
            samples: blocks.iter().map(|meta| meta.stats.num_samples).sum(),
        });
    }

    /// Whether a block has anything in the range to import.
    pub(super) fn wants(&self, meta: &BlockMeta) -> bool {
        let (min, max) = self.options.range;
        meta.min_time <= max && meta.max_time > min
    }

    /// Imports blocks that overlap, or one. Labels are added beside those of the options.
    pub(super) async fn blocks(
        &mut self,
        blocks: Vec<(Folder, BlockMeta)>,
        labels: &Labels,
    ) -> Result<()> {
        let (folders, metas): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let names: Vec<_> = metas.iter().map(|meta| meta.ulid.clone()).collect();
        let unit = names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join("+");
        let done = self.record.done_of(&unit);
        self.tell(ImportEvent::Reading {
            blocks: names.clone(),
        });
        let labels = Labels::from_pairs(labels.iter().chain(self.options.labels.iter()));
        self.unit(&unit, labels, move |batches| {
            read_blocks(&folders, done, batches)
        })
        .await?;
        self.summary.blocks += metas.len();
        self.record.add_blocks(&metas);
        self.write_record().await?;
        self.tell(ImportEvent::Done { blocks: names });
        Ok(())
    }

    /// Reads a unit in a thread of its own, and appends what it sends. Durable on return.
    pub(super) async fn unit(
        &mut self,
        unit: &str,
        labels: Labels,
        read: impl FnOnce(&mut Batches) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (send, mut receive) = mpsc::channel(BATCHES_AHEAD);
        let range = self.options.range;
        let mut batches = Batches::new(send, self.options.cancel.clone(), labels, range);
        let reading = tokio::task::spawn_blocking(move || read(&mut batches));
        let appended = self.append_all(unit, &mut receive).await;
        // The thread ends at its next batch.
        drop(receive);
        let read = reading
            .await
            .map_err(|error| Error::Invalid(format!("reading ended unexpectedly: {error}")))?;
        appended.and(read)
    }

    async fn append_all(
        &mut self,
        unit: &str,
        receive: &mut mpsc::Receiver<Message>,
    ) -> Result<()> {
        let mut tickets: Vec<AppendTicket> = Vec::new();
        let mut last_done = None;
        while let Some(message) = receive.recv().await {
            let (append, series, done) = match message {
                Message::Warning(text) => {
                    self.tell(ImportEvent::Warning(text));
                    continue;
                }
                Message::Batch {
                    append,
                    series,
                    done,
                } => (append, series, done),
            };
            let counts: &mut ImportCounts = &mut self.summary.appended;
            counts.series += series;
            counts.samples += append.samples.len() as u64;
            counts.exemplars += append.exemplars.len() as u64;
            counts.batches += 1;
            let counts = *counts;
            tickets.push(self.target.writer.append(append).await?);
            self.tell(ImportEvent::Appended(counts));
            last_done = Some(done);
            if tickets.len() >= BATCHES_PER_RECORD {
                self.settle(unit, &mut tickets, done).await?;
            }
        }
        if let Some(done) = last_done {
            self.settle(unit, &mut tickets, done).await?;
        }
        Ok(())
    }

    /// Waits until everything is durable, and records it.
    async fn settle(
        &mut self,
        unit: &str,
        tickets: &mut Vec<AppendTicket>,
        done: u64,
    ) -> Result<()> {
        self.target.writer.flush().await?;
        for ticket in tickets.drain(..) {
            ticket.durable().await?;
        }
        self.record.set_position(unit, done);
        self.write_record().await
    }

    pub(super) async fn write_record(&self) -> Result<()> {
        let target = self.target;
        let record = &self.record;
        record
            .write(&target.objects, &target.keys, &self.options.id)
            .await
    }

    /// The summary; a cancelled import ends without an error.
    pub(super) fn end(mut self, result: Result<()>) -> Result<ImportSummary> {
        match result {
            Ok(()) => self.summary.finished = true,
            Err(Error::Cancelled) if self.options.cancel.is_cancelled() => {}
            Err(error) => return Err(error),
        }
        Ok(self.summary)
    }
}

/// Reads blocks that overlap; the first series were done before.
fn read_blocks(folders: &[Folder], done: u64, batches: &mut Batches) -> Result<()> {
    let mut group = BlockGroup::open(folders)?;
    for _ in 0..done {
        if !group.skip()? {
            break;
        }
    }
    let mut number = done;
    while let Some((labels, mut samples)) = group.next()? {
        let series = batches.series(&labels);
        while let Some(sample) = samples.next()? {
            batches.sample(&series, sample);
            if batches.is_full() {
                batches.flush(number)?;
            }
        }
        number += 1;
        if batches.is_full() {
            batches.flush(number)?;
        }
    }
    batches.flush(number)
}
