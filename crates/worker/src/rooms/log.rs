//! The log of rooms in the database of a Durable Object: it outlives the object's sleep, its eviction and
//! the process.
//!
//! All that one event of the object writes is one transaction, and nothing is sent to anybody before it is
//! durable: the platform holds back whatever leaves the object until then.

use std::fmt::Write as _;

use bytes::Bytes;
use pitchey_realtime::{History, Keep, Position, RoomName, TOLD_KEPT, Unavailable, Update};
use wasm_bindgen::JsValue;

use crate::body::said;
use crate::glue;
use crate::rooms::platform::Sql;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rooms (
    name TEXT PRIMARY KEY, epoch TEXT NOT NULL, position INTEGER NOT NULL, bytes INTEGER NOT NULL,
    touched INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS updates (
    room TEXT, position INTEGER, at INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (room, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    id TEXT PRIMARY KEY, epoch TEXT NOT NULL, position INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tickets (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;
";

/// How often a room is marked as used, at most.
const TOUCH_MS: u64 = 600_000;

/// How often what is old is looked for, while there is something that will be.
const SWEEP_MS: u64 = 600_000;

/// A room that nobody has asked for in so long is forgotten, and begins anew.
const ROOM_KEPT_MS: u64 = TOLD_KEPT.as_secs() * 1000;

/// Where updates get their order.
pub(crate) struct StoredLog {
    sql: Sql,
    keep: Keep,
    /// What the epochs of this database begin with.
    epoch: String,
    sweep_at: u64,
}

type Row = js_sys::Array;

impl StoredLog {
    /// The log in this database. `epoch` is random, for a database that has none.
    pub(crate) fn open(sql: Sql, keep: Keep, epoch: u64) -> Result<Self, JsValue> {
        sql.run(SCHEMA, &[])?;
        let epoch = JsValue::from_str(&format!("{epoch:016x}"));
        sql.run("INSERT OR IGNORE INTO facts VALUES ('epoch', ?)", &[epoch])?;
        let facts = "SELECT (SELECT value FROM facts WHERE name = 'epoch'), \
                     (SELECT value FROM facts WHERE name = 'sweep_at')";
        let facts = sql.run(facts, &[])?;
        let first = facts.first().cloned().unwrap_or_default();
        Ok(Self {
            sql,
            keep,
            epoch: text(&first, 0),
            sweep_at: number(&first, 1),
        })
    }

    /// Gives what is published the next place of the room. Under an id that is known it was published
    /// before: then there is only its place.
    pub(crate) fn append(
        &mut self,
        room: &RoomName,
        data: Bytes,
        id: Option<&str>,
        now_ms: u64,
    ) -> Result<(Position, Option<Update>), Unavailable> {
        let appended = self.try_append(room, data, id, now_ms);
        appended.map_err(|error| failed(&error))
    }

    fn try_append(
        &mut self,
        room: &RoomName,
        data: Bytes,
        id: Option<&str>,
        now_ms: u64,
    ) -> Result<(Position, Option<Update>), JsValue> {
        if let Some(id) = id {
            let known = "SELECT epoch, position FROM told WHERE id = ?";
            if let Some(row) = self.sql.run(known, &[id.into()])?.first() {
                return Ok((position(row), None));
            }
        }
        self.touch(room, now_ms)?;
        let Ok(json) = std::str::from_utf8(&data) else {
            return Err(JsValue::from_str("what is published is no text"));
        };
        let length = js(data.len() as u64);
        let next = "UPDATE rooms SET position = position + 1, bytes = bytes + ? WHERE name = ? \
                    RETURNING epoch, position, bytes";
        let next = self.sql.run(next, &[length, room.as_str().into()])?;
        let row = next.first().cloned().unwrap_or_default();
        let position = position(&row);
        let values = [
            room.as_str().into(),
            js(position.offset),
            js(now_ms),
            json.into(),
        ];
        let insert = "INSERT INTO updates VALUES (?, ?, ?, ?)";
        self.sql.run(insert, &values)?;
        self.trim(room, &position, number(&row, 2), now_ms)?;
        if let Some(id) = id {
            let epoch = JsValue::from_str(&position.epoch);
            let values = [id.into(), epoch, js(position.offset), js(now_ms)];
            self.sql
                .run("INSERT INTO told VALUES (?, ?, ?, ?)", &values)?;
        }
        let update = Update {
            position: position.clone(),
            at_ms: now_ms,
            data,
        };
        Ok((position, Some(update)))
    }

    /// Forgets what is too old or too much, but for the newest update.
    fn trim(
        &self,
        room: &RoomName,
        head: &Position,
        mut bytes: u64,
        now_ms: u64,
    ) -> Result<(), JsValue> {
        let name = JsValue::from_str(room.as_str());
        let too_old = now_ms.saturating_sub(millis(self.keep.age));
        let too_many = head.offset.saturating_sub(self.keep.updates as u64);
        let before = bytes;
        let mut last = 0;
        'all: loop {
            // Mostly there is one to forget, or none.
            let oldest = "SELECT position, at, length(CAST(data AS BLOB)) FROM updates \
                          WHERE room = ? AND position > ? ORDER BY position LIMIT 2";
            let oldest = self.sql.run(oldest, &[name.clone(), js(last)])?;
            if oldest.is_empty() {
                break;
            }
            for row in oldest {
                let (offset, at) = (number(&row, 0), number(&row, 1));
                let goes = offset <= too_many || at < too_old || bytes > self.keep.bytes as u64;
                if !goes || offset >= head.offset {
                    break 'all;
                }
                bytes = bytes.saturating_sub(number(&row, 2));
                last = offset;
            }
        }
        if last > 0 {
            let forget = "DELETE FROM updates WHERE room = ? AND position <= ?";
            self.sql.run(forget, &[name.clone(), js(last)])?;
            let less = "UPDATE rooms SET bytes = bytes - ? WHERE name = ?";
            self.sql.run(less, &[js(before - bytes), name])?;
        }
        Ok(())
    }

    /// What there is of the room.
    pub(crate) fn history(&mut self, room: &RoomName, now_ms: u64) -> Result<History, Unavailable> {
        self.try_history(room, now_ms)
            .map_err(|error| failed(&error))
    }

    fn try_history(&mut self, room: &RoomName, now_ms: u64) -> Result<History, JsValue> {
        self.touch(room, now_ms)?;
        let name = JsValue::from_str(room.as_str());
        let head = "SELECT epoch, position FROM rooms WHERE name = ?";
        let head = self.sql.run(head, std::slice::from_ref(&name))?;
        let head = position(&head.first().cloned().unwrap_or_default());
        let too_old = now_ms.saturating_sub(millis(self.keep.age));
        let updates = "SELECT position, at, data FROM updates WHERE room = ? AND at >= ? \
                       ORDER BY position DESC LIMIT ?";
        let limit = js(self.keep.updates as u64);
        let rows = self.sql.run(updates, &[name, js(too_old), limit])?;
        let mut updates: Vec<Update> = Vec::with_capacity(rows.len());
        for row in rows {
            let offset = number(&row, 0);
            // The clock may have been set back: without a gap, or not at all.
            if offset + updates.len() as u64 != head.offset {
                break;
            }
            updates.push(Update {
                position: Position {
                    epoch: head.epoch.clone(),
                    offset,
                },
                at_ms: number(&row, 1),
                data: text(&row, 2).into(),
            });
        }
        updates.reverse();
        Ok(History { head, updates })
    }

    /// Begins a room that is not known, and marks it as used.
    fn touch(&mut self, room: &RoomName, now_ms: u64) -> Result<(), JsValue> {
        let name = JsValue::from_str(room.as_str());
        let known = "SELECT touched FROM rooms WHERE name = ?";
        let known = self.sql.run(known, std::slice::from_ref(&name))?;
        let Some(row) = known.first() else {
            let begun = "INSERT INTO facts VALUES ('begun', 1) \
                         ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value";
            let begun = self.sql.run(begun, &[])?;
            let begun = begun.first().map_or(0, |row| number(row, 0));
            let epoch = JsValue::from_str(&format!("{}-{begun}", self.epoch));
            let begin = "INSERT INTO rooms VALUES (?, ?, 0, 0, ?)";
            self.sql.run(begin, &[name, epoch, js(now_ms)])?;
            return Ok(());
        };
        if number(row, 0) + TOUCH_MS < now_ms {
            let touch = "UPDATE rooms SET touched = ? WHERE name = ?";
            self.sql.run(touch, &[js(now_ms), name])?;
        }
        Ok(())
    }

    /// Tickets that were used and are good `now`, in seconds since 1970.
    pub(crate) fn used_tickets(&self, now: i64) -> Result<Vec<(String, i64)>, JsValue> {
        let good = "SELECT id, expires_at FROM tickets WHERE expires_at > ?";
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let rows = self.sql.run(good, &[(now as f64).into()])?;
        let good = rows.iter().map(|row| {
            let expires_at = i64::try_from(number(row, 1)).unwrap_or(i64::MAX);
            (text(row, 0), expires_at)
        });
        Ok(good.collect())
    }

    /// Remembers that a ticket was used.
    pub(crate) fn use_ticket(&self, id: &str, expires_at: i64) -> Result<(), Unavailable> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let values = [id.into(), (expires_at as f64).into()];
        let used = "INSERT OR IGNORE INTO tickets VALUES (?, ?)";
        let used = self.sql.run(used, &values);
        used.map(drop).map_err(|error| failed(&error))
    }

    /// When to sweep, if that was not known to whoever wakes the object.
    pub(crate) fn plan_sweep(&mut self, now_ms: u64) -> Option<u64> {
        if self.sweep_at > now_ms {
            return None;
        }
        self.sweep_at = now_ms + SWEEP_MS;
        let plan = "INSERT INTO facts VALUES ('sweep_at', ?) \
                    ON CONFLICT DO UPDATE SET value = excluded.value";
        let planned = self.sql.run(plan, &[js(self.sweep_at)]);
        planned.map_err(|error| failed(&error)).ok()?;
        Some(self.sweep_at)
    }

    /// Forgets what is too old, and rooms that nobody is in nor has asked for in long. Whether something is
    /// left that will be too old.
    pub(crate) fn sweep(&mut self, in_use: &[&RoomName], now_ms: u64) -> Result<bool, Unavailable> {
        self.sweep_at = 0;
        self.try_sweep(in_use, now_ms)
            .map_err(|error| failed(&error))
    }

    fn try_sweep(&self, in_use: &[&RoomName], now_ms: u64) -> Result<bool, JsValue> {
        let since = |kept: u64| js(now_ms.saturating_sub(kept));
        let old = since(millis(self.keep.age));
        self.sql.run("DELETE FROM updates WHERE at < ?", &[old])?;
        let bytes = "UPDATE rooms SET bytes = 0 WHERE bytes > 0 AND NOT EXISTS \
                     (SELECT 1 FROM updates WHERE room = name)";
        self.sql.run(bytes, &[])?;
        let told = since(millis(TOLD_KEPT));
        self.sql.run("DELETE FROM told WHERE at < ?", &[told])?;
        let expired = "DELETE FROM tickets WHERE expires_at * 1000 < ?";
        self.sql.run(expired, &[js(now_ms)])?;
        // Names of rooms are of letters, digits, hyphens and colons: a list of them is JSON as it is.
        let mut used = String::from("[");
        for (at, room) in in_use.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(used, "{comma}\"{room}\"");
        }
        used.push(']');
        let unused = "name NOT IN (SELECT value FROM json_each(?))";
        let forget = format!("DELETE FROM rooms WHERE touched < ? AND {unused}");
        let used = JsValue::from_str(&used);
        self.sql
            .run(&forget, &[since(ROOM_KEPT_MS), used.clone()])?;
        let orphans = "DELETE FROM updates WHERE room NOT IN (SELECT name FROM rooms)";
        self.sql.run(orphans, &[])?;
        let left = format!(
            "SELECT EXISTS (SELECT 1 FROM updates) OR EXISTS (SELECT 1 FROM told) OR \
             EXISTS (SELECT 1 FROM tickets) OR EXISTS (SELECT 1 FROM rooms WHERE {unused})"
        );
        let left = self.sql.run(&left, &[used])?;
        Ok(left.first().is_some_and(|row| number(row, 0) > 0))
    }
}

fn failed(error: &JsValue) -> Unavailable {
    glue::log(&format!("the log of rooms has failed: {}", said(error)));
    Unavailable
}

fn position(row: &Row) -> Position {
    Position {
        epoch: text(row, 0).into(),
        offset: number(row, 1),
    }
}

fn text(row: &Row, at: u32) -> String {
    row.get(at).as_string().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers that JavaScript holds exactly"
)]
fn number(row: &Row, at: u32) -> u64 {
    row.get(at).as_f64().unwrap_or_default() as u64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "offsets, sizes and times are exact"
)]
fn js(number: u64) -> JsValue {
    (number as f64).into()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
