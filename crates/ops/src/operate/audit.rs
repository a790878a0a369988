//! `pitchey audit`: who did what.

use super::{Desk, Who, moment};
use crate::Interrupt;
use crate::output::Output;
use crate::table::Table;
use crate::visible::assignments;
use clap::Subcommand;
use pitchey_model::UserId;
use pitchey_runtime::Timer as _;
use pitchey_store_pg::operate::{AuditFilter, AuditPosition, AuditRecord};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use uuid::Uuid;

/// How often new entries are looked for.
const POLL: Duration = Duration::from_secs(1);
/// An entry carries the time at which its change began, by the clock of the machine that made it: it may
/// come this much later than one that looks newer.
const LATE: Duration = Duration::from_mins(1);
/// How many entries are read at once.
const PAGE: u32 = 1000;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the last entries, the newest last.
    Tail(Tail),
}

/// Which entries.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tail {
    /// Only what this account did: a username, an e-mail address or an id.
    #[arg(long, value_name = "WHO")]
    actor: Option<Who>,
    /// Only what was done to this account, pitch, NDA, interest or session.
    #[arg(long, value_name = "ID")]
    subject: Option<Uuid>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on with new entries as they come, until Ctrl-C. JSON then has each on a line of its own.
    #[arg(long)]
    follow: bool,
}

/// An entry.
#[derive(Debug, Serialize)]
struct Entry {
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    actor: Option<UserId>,
    action: String,
    subject_kind: String,
    subject: Option<Uuid>,
    detail: Value,
    ip: Option<IpAddr>,
    request_id: Option<String>,
}

impl From<AuditRecord> for Entry {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            created_at: record.created_at,
            actor: record.actor,
            action: record.action,
            subject_kind: record.subject_kind,
            subject: record.subject,
            detail: record.detail,
            ip: record.ip,
            request_id: record.request_id,
        }
    }
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Command::Tail(tail) = command;
    let actor = match &tail.actor {
        Some(who) => Some(desk.user(who).await?.id),
        None => None,
    };
    let filter = AuditFilter {
        since: None,
        actor,
        subject: tail.subject,
    };
    let mut table = table();
    if tail.follow {
        return follow(desk, filter, tail.limit, &mut table, output).await;
    }
    let mut records = desk.store.audit_log(&filter, None, tail.limit).await?;
    records.reverse();
    let entries: Vec<Entry> = records.into_iter().map(Entry::from).collect();
    output.show(&entries, || text(&mut table, &entries))
}

/// Shows the last entries, then new ones until Ctrl-C.
async fn follow(
    desk: &Desk,
    filter: AuditFilter,
    limit: u32,
    table: &mut Table,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut interrupt = Interrupt::listen(&mut tasks, "that was the audit log")?;
    let mut seen = Seen::default();
    // What there is already and is more than was asked for is not new. It is read first: an entry that comes
    // between the two reads is shown.
    if let Some(newest) = desk.store.audit_log(&filter, None, 1).await?.first() {
        seen.newest = Some(newest.created_at);
        let before = since(desk, &filter, &seen).await?;
        seen.new_ones(before);
    }
    let mut last = desk.store.audit_log(&filter, None, limit).await?;
    last.reverse();
    seen.new_ones(last.clone());
    let mut entries: Vec<Entry> = last.into_iter().map(Entry::from).collect();
    loop {
        output.show_each(&entries, || text(table, &entries))?;
        tokio::select! {
            () = interrupt.asked() => return Ok(()),
            () = desk.runtime.sleep(POLL) => {}
        }
        let records = since(desk, &filter, &seen).await?;
        entries = seen
            .new_ones(records)
            .into_iter()
            .map(Entry::from)
            .collect();
    }
}

/// The entries from which on new ones may be, oldest first.
async fn since(desk: &Desk, filter: &AuditFilter, seen: &Seen) -> anyhow::Result<Vec<AuditRecord>> {
    let filter = AuditFilter {
        since: seen.since(),
        ..filter.clone()
    };
    let mut records: Vec<AuditRecord> = Vec::new();
    loop {
        let after = records.last().map(|record| AuditPosition {
            created_at: record.created_at,
            id: record.id,
        });
        let page = desk.store.audit_log(&filter, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        records.extend(page);
        if is_last {
            records.reverse();
            return Ok(records);
        }
    }
}

/// Which entries were there already, as far back as they are read again.
#[derive(Debug, Default)]
struct Seen {
    newest: Option<OffsetDateTime>,
    entries: HashMap<Uuid, OffsetDateTime>,
}

impl Seen {
    /// From when on new entries may be.
    fn since(&self) -> Option<OffsetDateTime> {
        self.newest.map(|newest| newest - LATE)
    }

    /// Those that were not seen before, which now they are.
    fn new_ones(&mut self, mut records: Vec<AuditRecord>) -> Vec<AuditRecord> {
        records.retain(|record| self.entries.insert(record.id, record.created_at).is_none());
        let newest = records.iter().map(|record| record.created_at).max();
        self.newest = self.newest.max(newest);
        if let Some(since) = self.since() {
            self.entries.retain(|_, created_at| *created_at >= since);
        }
        records
    }
}

fn table() -> Table {
    Table::new(&["when", "by", "action", "subject", "detail"])
}

/// The entries as further rows.
fn text(table: &mut Table, entries: &[Entry]) -> String {
    for entry in entries {
        table.row([
            moment(entry.created_at),
            entry.by(),
            entry.action.clone(),
            entry.subject(),
            entry.detail(),
        ]);
    }
    table.next_text()
}

impl Entry {
    /// The account, or the operator who had none.
    fn by(&self) -> String {
        match (self.actor, self.detail["operator"].as_str()) {
            (Some(actor), _) => actor.to_string(),
            (None, Some(operator)) => format!("operator {operator}"),
            (None, None) => "–".to_owned(),
        }
    }

    fn subject(&self) -> String {
        match self.subject {
            Some(id) => format!("{} {id}", self.subject_kind),
            None => self.subject_kind.clone(),
        }
    }

    /// All that has no column of its own.
    fn detail(&self) -> String {
        let ip = self.ip.map(|ip| Value::from(ip.to_string()));
        let request = self.request_id.as_deref().map(Value::from);
        let named_already = |name: &str| self.actor.is_none() && name == "operator";
        let detail = self.detail.as_object().into_iter().flatten();
        let detail = detail
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| !named_already(name));
        let about = [("ip", &ip), ("request", &request)];
        let about = about
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        assignments(detail.chain(about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    fn record(id: u128, second: i64) -> AuditRecord {
        AuditRecord {
            id: Uuid::from_u128(id),
            created_at: datetime!(2026-11-20 12:00 UTC) + time::Duration::seconds(second),
            actor: None,
            action: "account.lock".to_owned(),
            subject_kind: "user".to_owned(),
            subject: Some(Uuid::from_u128(7)),
            detail: json!({ "operator": "olga", "reason": "a\u{1b}[2J b" }),
            ip: None,
            request_id: None,
        }
    }

    #[test]
    fn an_entry_that_comes_late_is_new_and_nothing_is_new_twice() {
        let mut seen = Seen::default();
        let ids = |records: Vec<AuditRecord>| -> Vec<u128> {
            records.iter().map(|record| record.id.as_u128()).collect()
        };
        assert_eq!(
            ids(seen.new_ones(vec![record(1, 0), record(2, 50)])),
            [1, 2]
        );
        // Begun before the second, committed after it.
        let again = vec![record(1, 0), record(3, 40), record(2, 50)];
        assert_eq!(ids(seen.new_ones(again)), [3]);
        assert_eq!(seen.since(), Some(record(0, -10).created_at));
        assert_eq!(ids(seen.new_ones(vec![record(4, 105)])), [4]);
        // What is not read again needs not be remembered.
        assert_eq!(seen.entries.len(), 2);
        assert_eq!(ids(seen.new_ones(Vec::new())), [0; 0]);
    }

    #[test]
    fn an_entry_is_told_with_who_and_to_what_and_steers_no_terminal() {
        let of_operator = Entry::from(record(1, 0));
        let of_account = Entry::from(AuditRecord {
            actor: Some(UserId(Uuid::from_u128(9))),
            action: "session.open".to_owned(),
            subject: None,
            detail: json!({}),
            ip: Some("192.0.2.1".parse().expect("an address")),
            request_id: Some("r-1".to_owned()),
            ..record(2, 1)
        });
        insta::assert_snapshot!(text(&mut table(), &[of_operator, of_account]), @r#"
        WHEN                  BY                                    ACTION        SUBJECT                                    DETAIL
        2026-11-20 12:00:00Z  operator olga                         account.lock  user 00000000-0000-0000-0000-000000000007  reason="a\u001b[2J b"
        2026-11-20 12:00:01Z  00000000-0000-0000-0000-000000000009  session.open  user                                       ip=192.0.2.1 request=r-1
        "#);
    }
}
