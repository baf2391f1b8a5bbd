//! Which files are worth merging: a pure function of a snapshot, the clock and the options.
//!
//! - **Open window** (or, in tables without windows, open day): as soon as a tier has `small_files_max` files, they become
//!   one, still of level 0. A tier is a range of sizes of a factor of eight, so a sample is rewritten about log₈ times.
//! - **Closed window**: all its files become level 1.
//! - **Closed day**: all its files become level 2.
//! - **Late files** behind a level that is complete wait until they are many, large or old enough to pay for the rewrite.
//!
//! A merge may be planned from an old snapshot at no risk: the guard checks its inputs when it commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use varve_table::{TableFile, TableKind, TableSnapshot};

use crate::options::{CompactorOptions, millis};
use crate::windows::{DAY_MS, WINDOW_MS, day_start_ms, window_of};

/// Encoded bytes that a merge holds of one open file: the whole of a small one, a row group of a large one.
const HELD_PER_FILE_MAX: u64 = 8 << 20;
/// Encoded bytes that a merge of level-0 files may hold.
const HELD_BYTES_MAX: u64 = 64 << 20;

/// Files to be merged into one run of files of a level.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MergeJob {
    pub(crate) date: NaiveDate,
    pub(crate) level: u8,
    pub(crate) inputs: Vec<Arc<TableFile>>,
}

type Files = Vec<Arc<TableFile>>;

/// The first merge that is due among `usable` files, oldest day first.
pub(crate) fn next_job(
    kind: TableKind,
    snapshot: &TableSnapshot,
    now_ms: i64,
    options: &CompactorOptions,
    usable: impl Fn(&str) -> bool,
) -> Option<MergeJob> {
    let mut days: BTreeMap<NaiveDate, Files> = BTreeMap::new();
    for file in snapshot.files.values().filter(|file| usable(&file.path)) {
        days.entry(file.date).or_default().push(Arc::clone(file));
    }
    let planner = Planner { now_ms, options };
    days.into_iter()
        .find_map(|(date, files)| planner.day(kind, date, files))
}

struct Planner<'a> {
    now_ms: i64,
    options: &'a CompactorOptions,
}

impl Planner<'_> {
    fn closed(&self, end_ms: i64) -> bool {
        end_ms.saturating_add(millis(self.options.close_delay)) <= self.now_ms
    }

    fn day(&self, kind: TableKind, date: NaiveDate, files: Files) -> Option<MergeJob> {
        let job = |level, inputs| MergeJob {
            date,
            level,
            inputs,
        };
        if self.closed(day_start_ms(date).saturating_add(DAY_MS)) {
            let (whole, rest): (Files, Files) = files.into_iter().partition(|f| f.level >= 2);
            if !self.worth(&whole, &rest) {
                return None;
            }
            // Many small files first become fewer, so that no merge opens all of them at once.
            if let Some(inputs) = self.too_many(&rest) {
                return Some(job(0, inputs));
            }
            return Some(job(2, whole.into_iter().chain(rest).collect()));
        }
        if kind != TableKind::Samples {
            return self.tier(files).map(|inputs| job(0, inputs));
        }
        let mut windows: BTreeMap<i64, Files> = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.level < 2) {
            windows
                .entry(window_of(file.min_time_ms))
                .or_default()
                .push(file);
        }
        windows.into_iter().find_map(|(window, files)| {
            if !self.closed(window.saturating_add(WINDOW_MS)) {
                return self.tier(files).map(|inputs| job(0, inputs));
            }
            let (whole, rest): (Files, Files) = files.into_iter().partition(|f| f.level >= 1);
            if !self.worth(&whole, &rest) {
                return None;
            }
            if let Some(inputs) = self.too_many(&rest) {
                return Some(job(0, inputs));
            }
            Some(job(1, whole.into_iter().chain(rest).collect()))
        })
    }

    /// Whether `rest` should now be merged into `whole`, which is complete but for late samples.
    fn worth(&self, whole: &Files, rest: &Files) -> bool {
        if rest.is_empty() {
            return false;
        }
        let bytes = |files: &Files| -> u64 { files.iter().map(|f| f.size_bytes).sum() };
        let oldest_ms = rest.iter().map(|f| f.modified_ms).min().unwrap_or(i64::MAX);
        let late = millis(self.options.late_delay);
        whole.is_empty()
            || rest.len() >= self.options.small_files_max
            || bytes(rest).saturating_mul(4) >= bytes(whole)
            || oldest_ms.saturating_add(late) <= self.now_ms
    }

    /// Whether rewriting a file into a larger one of the same level pays.
    fn is_small(&self, file: &TableFile) -> bool {
        file.level == 0 && file.size_bytes.saturating_mul(2) < self.options.target_file_bytes as u64
    }

    /// The smallest level-0 files, where there are more, or larger ones, than one merge should open. The window of a file is that of
    /// its rows only if all lie in one, so only files of the fullest window are taken.
    fn too_many(&self, rest: &Files) -> Option<Files> {
        let mut windows: BTreeMap<i64, Files> = BTreeMap::new();
        for file in rest.iter().filter(|file| self.is_small(file)) {
            windows
                .entry(window_of(file.min_time_ms))
                .or_default()
                .push(Arc::clone(file));
        }
        let mut files = windows.into_values().max_by_key(Vec::len)?;
        files.sort_by(|a, b| (a.size_bytes, &a.path).cmp(&(b.size_bytes, &b.path)));
        let affordable = self.affordable(&files);
        if files.len() <= affordable {
            return None;
        }
        files.truncate(affordable);
        Some(files)
    }

    /// How many of the files one merge may open.
    fn affordable(&self, files: &Files) -> usize {
        let mut held_bytes = 0;
        let open = files.iter().take_while(|file| {
            held_bytes += file.size_bytes.min(HELD_PER_FILE_MAX);
            held_bytes <= HELD_BYTES_MAX
        });
        open.count().clamp(2, self.options.merge_files_max.max(2))
    }

    /// The files of the smallest tier that is full.
    fn tier(&self, files: Files) -> Option<Files> {
        let mut tiers: BTreeMap<u32, Files> = BTreeMap::new();
        for file in files.into_iter().filter(|file| self.is_small(file)) {
            let tier = (file.size_bytes >> 14).max(1).ilog2() / 3;
            tiers.entry(tier).or_default().push(file);
        }
        let mut files = tiers
            .into_values()
            .find(|files| files.len() >= self.options.small_files_max.max(2))?;
        files.sort_by(|a, b| (a.size_bytes, &a.path).cmp(&(b.size_bytes, &b.path)));
        files.truncate(self.affordable(&files));
        Some(files)
    }
}
