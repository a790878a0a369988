//! Pages by keys.

use pitchey_model::{Page, Position, SortKey};
use std::cmp::Ordering;
use time::OffsetDateTime;
use uuid::Uuid;

/// At most `limit` entries right behind `after`, of entries in any order.
pub(super) fn page_after<T>(
    mut found: Vec<(SortKey, T)>,
    after: Option<Position>,
    limit: u32,
    id: impl Fn(&T) -> Uuid,
) -> Page<T> {
    found.sort_by(|(a_key, a), (b_key, b)| descending((*b_key, id(b)), (*a_key, id(a))));
    let limit = limit as usize;
    let mut rest: Vec<_> = found
        .into_iter()
        .filter(|(key, item)| {
            after.is_none_or(|after| {
                descending((*key, id(item)), (after.key, after.id)) == Ordering::Less
            })
        })
        .collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|(key, item)| Position {
        key: *key,
        id: id(item),
    });
    Page {
        items: rest.into_iter().map(|(_, item)| item).collect(),
        next,
    }
}

/// The same, by time.
pub(super) fn page_by_time<T>(
    found: impl Iterator<Item = T>,
    after: Option<Position>,
    limit: u32,
    key: impl Fn(&T) -> (OffsetDateTime, Uuid),
) -> Page<T> {
    let found = found.map(|item| (SortKey::Time(key(&item).0), item));
    page_after(found.collect(), after, limit, |item| key(item).1)
}

fn descending((a, a_id): (SortKey, Uuid), (b, b_id): (SortKey, Uuid)) -> Ordering {
    let keys = match (a, b) {
        (SortKey::Time(a), SortKey::Time(b)) => a.cmp(&b),
        (SortKey::Score(a), SortKey::Score(b)) => a.total_cmp(&b),
        (SortKey::Views(a), SortKey::Views(b)) => a.cmp(&b),
        (SortKey::Rank(a), SortKey::Rank(b)) => a.total_cmp(&b),
        _ => panic!("positions of two sorts"),
    };
    keys.then(a_id.cmp(&b_id))
}
