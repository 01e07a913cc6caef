//! What jobs used, by tenant, hour and job: how buckets are called and read.

use super::fault::unreadable;
use super::reader::{Order, Reader};
use super::wire::{self, sortable, unsortable};
use crate::record::query::{Page, Paged, UsageFilter, UsageItem};
use crate::record::used::{BUCKETS_PER_HOUR, Bucket, MEASURES, MOST, NAMES, Used};
use crate::store::Result;
use crate::store::embedded::kept::{Mark as _, cut, limit_of};
use crate::time::Timestamp;

/// Digits of an hour in a key.
const HOUR_DIGITS: usize = 16;
/// Buckets read in one question.
const CHUNK: usize = 512;

/// The Lua that scripts count by: where each sum stands, and the bounds.
pub(super) fn lua() -> String {
    let places: Vec<String> =
        (1..).zip(NAMES).map(|(place, name): (usize, _)| format!("{name} = {place}")).collect();
    format!(
        "local PLACE_OF = {{ {} }}\nlocal MEASURES, BUCKETS_PER_HOUR, MOST = {MEASURES}, \
         {BUCKETS_PER_HOUR}, {MOST}\n",
        places.join(", ")
    )
}

/// A bucket's key by tenant, under which it is kept, and by age.
pub(super) fn keys_of(bucket: &Bucket) -> (String, String) {
    let (tenant, hour, job) = (&bucket.tenant, sortable(bucket.hour), bucket.job_text());
    (format!("{tenant}\0{hour}{job}"), format!("{hour}{tenant}\0{job}"))
}

/// The bucket that is kept under `key`, and its sums.
pub(super) fn read_item(key: &str, record: &[u8]) -> Result<UsageItem> {
    let numbers: [u64; MEASURES] = wire::unpack(record)?;
    Ok(UsageItem { bucket: bucket_at(key)?, used: Used::of_numbers(numbers) })
}

fn bucket_at(key: &str) -> Result<Bucket> {
    let parts = || {
        let (tenant, rest) = key.split_once('\0')?;
        let (hour, job) = rest.split_at_checked(HOUR_DIGITS)?;
        bucket_of(tenant, hour, job)
    };
    parts().ok_or_else(|| unreadable("what was used", "its key is none"))
}

fn bucket_of(tenant: &str, hour: &str, job: &str) -> Option<Bucket> {
    let job = Some(job).filter(|job| !job.is_empty()).map(|job| job.parse()).transpose();
    Some(Bucket { tenant: tenant.parse().ok()?, hour: unsortable(hour)?, job: job.ok()? })
}

impl Reader<'_> {
    /// One page of buckets.
    pub(super) fn buckets(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>> {
        let (limit, mut after) = (limit_of(page), Bucket::of(page)?);
        let (first, to) = match &filter.tenant {
            Some(tenant) => {
                let from = filter.from.map(sortable).unwrap_or_default();
                let to = filter.to.map_or_else(
                    || format!("({tenant}\x01"),
                    |to| format!("({tenant}\0{}", sortable(to)),
                );
                (format!("[{tenant}\0{from}"), to)
            }
            None => ("-".to_owned(), "+".to_owned()),
        };
        let mut items = Vec::new();
        loop {
            let from = after
                .as_ref()
                .map_or_else(|| first.clone(), |after| format!("({}", keys_of(after).0));
            let keys = self.members("USED_BY", Order::Up, (&from, &to), (0, CHUNK))?;
            for (key, record) in keys.iter().zip(self.fields("USED", &keys)?) {
                // Forgotten meanwhile, or else there.
                let Some(record) = record else { continue };
                let item = read_item(key, &record)?;
                items.extend(Some(item).filter(|item| filter.wants(&item.bucket)));
            }
            after = keys.last().map(|key| bucket_at(key)).transpose()?;
            if keys.len() < CHUNK || limit < items.len() {
                return Ok(cut(items, limit, |item: &UsageItem| item.bucket.clone()));
            }
        }
    }

    /// The oldest buckets from before `before`, at most `max`.
    pub(super) fn old_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let to = format!("({}", sortable(before));
        let found = self.members("USED_AGE", Order::Up, ("-", &to), (0, max))?;
        let bucket = |key: &String| {
            let (hour, rest) = key.split_at_checked(HOUR_DIGITS)?;
            let (tenant, job) = rest.split_once('\0')?;
            bucket_of(tenant, hour, job)
        };
        Ok(found.iter().filter_map(bucket).collect())
    }
}
