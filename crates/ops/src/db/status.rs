//! `pitchey db status`: how far the database has come, and how large it is.

use crate::table::{Table, bytes, count};
use pitchey_store_pg::inspect::{Extension, Inspector, LastImport, Relation, Server};
use pitchey_store_pg::migrate::{self, MigrationStatus, SchemaError};
use pitchey_store_pg::{PgStore, PoolConfig};
use serde::Serialize;
use std::fmt::Write as _;
use time::format_description::well_known::Rfc3339;

/// Everything at a glance.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether the schema is the one of this build.
    current: bool,
    /// Why not.
    problem: Option<String>,
    server: Server,
    pool: Pool,
    migrations: Vec<MigrationStatus>,
    /// Versions that the database has and this build does not know.
    unknown_migrations: Vec<i64>,
    extensions: Vec<Extension>,
    tables: Vec<Relation>,
    last_import: Option<LastImport>,
}

/// What one origin takes of the server's connections, unless configured otherwise.
#[derive(Debug, Serialize)]
struct Pool {
    max_connections: u32,
    statement_timeout_ms: u64,
    /// How many origins with such a pool the server can take.
    origins: u32,
}

/// Asks the database.
pub(crate) async fn run(inspector: &mut Inspector, store: &PgStore) -> anyhow::Result<Report> {
    let server = inspector.server().await?;
    let problem = match migrate::check(store).await {
        Ok(()) => None,
        Err(problem @ (SchemaError::Behind { .. } | SchemaError::Unknown { .. })) => {
            Some(problem.to_string())
        }
        Err(SchemaError::Store(error)) => return Err(error.into()),
    };
    let migrations = migrate::status(store).await?;
    let applied = inspector.applied_migrations().await?;
    let unknown_migrations = applied
        .iter()
        .map(|migration| migration.version)
        .filter(|version| !migrations.iter().any(|known| known.version == *version))
        .collect();
    let config = PoolConfig::default();
    let free = server.max_connections - server.reserved_connections;
    let pool = Pool {
        origins: u32::try_from(free).unwrap_or(0) / config.max_connections.max(1),
        max_connections: config.max_connections,
        statement_timeout_ms: config.statement_timeout_ms,
    };
    let mut tables = inspector.catalog().await?.relations;
    tables.retain(|table| table.partition_of.is_none() && table.name != "_sqlx_migrations");
    tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(Report {
        current: problem.is_none(),
        problem,
        server,
        pool,
        migrations,
        unknown_migrations,
        extensions: inspector.extensions().await?,
        tables,
        last_import: inspector.last_import().await?,
    })
}

impl Report {
    pub(crate) fn is_current(&self) -> bool {
        self.current
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_server(&mut text);
        let mut migrations = Table::new(&["migration", "name", "state"]);
        for migration in &self.migrations {
            migrations.row([
                migration.version.to_string(),
                migration.description.clone(),
                if migration.applied {
                    "applied"
                } else {
                    "MISSING"
                }
                .to_owned(),
            ]);
        }
        for version in &self.unknown_migrations {
            migrations.row([
                version.to_string(),
                String::new(),
                "UNKNOWN to this build".to_owned(),
            ]);
        }
        let _ = write!(text, "\n{}", migrations.to_text());
        if !self.tables.is_empty() {
            let mut tables = Table::new(&["table", ">rows (estimated)", ">size with indexes"]);
            for table in &self.tables {
                tables.row([table.name.clone(), count(table.rows), bytes(table.bytes)]);
            }
            let _ = write!(text, "\n{}", tables.to_text());
        }
        let _ = match &self.problem {
            Some(problem) => write!(text, "\n{problem}\n"),
            None => write!(text, "\nthe schema is the one of this build\n"),
        };
        text
    }

    fn write_server(&self, text: &mut String) {
        let server = &self.server;
        let role = if server.is_replica { ", a replica" } else { "" };
        let extensions: Vec<String> = self
            .extensions
            .iter()
            .map(|extension| match &extension.version {
                Some(version) => format!("{} {version}", extension.name),
                None => format!("{} (not there)", extension.name),
            })
            .collect();
        let import = self.last_import.as_ref().map_or_else(
            || "none".to_owned(),
            |import| {
                let when = import.finished_at.unwrap_or(import.started_at);
                format!(
                    "{} {} {}: {} new, {} changed, {} as before, {} refused",
                    import.source,
                    if import.finished_at.is_some() {
                        "at"
                    } else {
                        "begun and not ended, at"
                    },
                    when.format(&Rfc3339).unwrap_or_default(),
                    count(import.created as f64),
                    count(import.updated as f64),
                    count(import.unchanged as f64),
                    count(import.rejected as f64),
                )
            },
        );
        let lines = [
            ("server", format!("PostgreSQL {}{role}", server.version)),
            (
                "database",
                format!("{}, {}", server.database, bytes(server.bytes)),
            ),
            (
                "connections",
                format!(
                    "{} of {}, {} kept for superusers",
                    server.connected, server.max_connections, server.reserved_connections
                ),
            ),
            (
                "pool",
                format!(
                    "{} for each origin by default: room for {} origins",
                    self.pool.max_connections, self.pool.origins
                ),
            ),
            ("extensions", extensions.join(", ")),
            ("last import", import),
        ];
        for (label, value) in lines {
            let _ = writeln!(text, "{label:<12} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_database_that_is_behind_says_what_to_do() {
        let report = Report {
            current: false,
            problem: Some("the database lacks 1 migration(s): run `pitchey db migrate`".to_owned()),
            server: Server {
                version: "15.14".to_owned(),
                database: "pitchey".to_owned(),
                bytes: 8 << 30,
                max_connections: 100,
                reserved_connections: 3,
                connected: 7,
                shared_buffers: "1GB".to_owned(),
                is_replica: true,
            },
            pool: Pool {
                max_connections: 20,
                statement_timeout_ms: 5_000,
                origins: 4,
            },
            migrations: vec![MigrationStatus {
                version: 20_261_120_000_001,
                description: "initial".to_owned(),
                applied: false,
            }],
            unknown_migrations: vec![20_270_101_000_000],
            extensions: vec![
                Extension {
                    name: "unaccent".to_owned(),
                    version: Some("1.1".to_owned()),
                },
                Extension {
                    name: "pg_stat_statements".to_owned(),
                    version: None,
                },
            ],
            tables: vec![Relation {
                name: "pitches".to_owned(),
                partition_of: None,
                rows: 1_000_000.0,
                bytes: 3 << 30,
            }],
            last_import: Some(LastImport {
                source: "films".to_owned(),
                started_at: datetime!(2026-11-20 12:00 UTC),
                finished_at: None,
                lines_done: 20_000,
                created: 19_990,
                updated: 0,
                unchanged: 0,
                rejected: 10,
            }),
        };
        insta::assert_snapshot!(report.to_text());
    }
}
