//! Once, for a database of before the shelves: what tenants and streams have in the due index is put where it belongs.

use baton_mail::{Lane, UnixMs};
use rocksdb::WriteBatch;

use crate::database::{Database, Family, WriteError};
use crate::format::{JobKey, after_prefix, decode_due_key, due_key, shelf_prefix};
use crate::records::load_job;
use crate::shelf::Shelf;

/// Entries that are moved in one batch.
const BATCH: usize = 1_000;

/// Moves what is on the shelf of nobody and is somebody's. Begun anew it goes on where it was.
pub(crate) fn reshelve(db: &Database) -> Result<(), WriteError> {
    let mut moved = 0_u64;
    for lane in Lane::ALL {
        moved += reshelve_lane(db, lane)?;
    }
    if moved > 0 {
        tracing::info!(target: "store", jobs = moved, "the queue of an older version was put in order by tenants");
    }
    Ok(())
}

fn reshelve_lane(db: &Database, lane: Lane) -> Result<u64, WriteError> {
    let nobody = Shelf { lane, number: 0 };
    let from = due_key(nobody, UnixMs(0), JobKey::FIRST);
    let to = after_prefix(&shelf_prefix(nobody));
    let mut entries = db.iterate(Family::Due, &from, to.as_deref());
    entries.seek_to_first();
    let due_family = db.family(Family::Due);
    let (mut batch, mut moved) = (WriteBatch::default(), 0);
    while let Some((key, value)) = entries.item() {
        // One that can not be read stays, and is set aside when it is met.
        if let Some((_, due)) = decode_due_key(key)
            && let Ok(Some(job)) = load_job(db, due.job)
        {
            let to = due_key(Shelf::of(&job.envelope), due.at, due.job);
            if *to != *key {
                batch.delete_cf(due_family, key);
                batch.put_cf(due_family, &*to, value);
                moved += 1;
            }
        }
        if batch.len() >= 2 * BATCH {
            db.write(std::mem::take(&mut batch))?;
        }
        entries.next();
    }
    if !batch.is_empty() {
        db.write(batch)?;
    }
    Ok(moved)
}
