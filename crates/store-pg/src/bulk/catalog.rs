//! Taking indexes, foreign keys and triggers off for a load, and putting them back exactly as they were.
//!
//! A load into bare tables followed by building each index at once takes a third of the time of a load that
//! keeps them up to date row by row. The definitions are read from the catalog, so that nothing here repeats
//! the migrations. While they are off, the statements that bring them back stand in a table of the database
//! itself: whatever kills the program, the next run finds them.

use super::connection::{BulkConnection, BulkError};
use super::load::{PARTITIONED, TABLES};
use sqlx::AssertSqlSafe;

/// Where the way back is written down.
const NOTES: &str = "bulk_load_in_progress";

/// The indexes, constraints and triggers of the tables that are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    indexes: Vec<Index>,
    foreign_keys: Vec<ForeignKey>,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Index {
    table: String,
    name: String,
    definition: String,
    comment: Option<String>,
    /// The constraint that it serves.
    constraint: Option<String>,
    /// `p` for a primary key, `u` for a unique constraint.
    constraint_type: Option<String>,
    constraint_comment: Option<String>,
    valid: bool,
    /// Whether a foreign key or replication needs it.
    needed: bool,
    gin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct ForeignKey {
    table: String,
    name: String,
    definition: String,
    comment: Option<String>,
    valid: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Trigger {
    table: String,
    name: String,
    definition: String,
    /// `O` when it is on.
    enabled: String,
}

/// What is done while the way back is gone, one after the other in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it makes, for progress.
    pub name: String,
    /// The table that it is about.
    pub table: String,
    statements: Vec<String>,
    /// Relative to others.
    cost: u32,
}

/// What was taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    before: Catalog,
    /// In any order and in parallel.
    pub indexes: Vec<Step>,
    /// When all indexes are there; in any order and in parallel.
    pub foreign_keys: Vec<Step>,
}

const INDEXES: &str = r#"
SELECT t.oid::regclass::text AS "table", i.relname::text AS name, pg_get_indexdef(x.indexrelid) AS definition,
       obj_description(x.indexrelid, 'pg_class') AS comment, k.conname::text AS "constraint", k.contype::text AS constraint_type,
       obj_description(k.oid, 'pg_constraint') AS constraint_comment, x.indisvalid AS valid, a.amname = 'gin' AS gin,
       x.indisclustered OR x.indisreplident
           OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = x.indexrelid) AS needed
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_am a ON a.oid = i.relam
LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE t.oid = ANY ($1::text[]::regclass[])
ORDER BY 1, 2"#;

const FOREIGN_KEYS: &str = r#"
SELECT conrelid::regclass::text AS "table", conname::text AS name, pg_get_constraintdef(oid) AS definition,
       obj_description(oid, 'pg_constraint') AS comment, convalidated AS valid
FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY ($1::text[]::regclass[])
ORDER BY 1, 2"#;

const OUTSIDE_FOREIGN_KEYS: &str = r#"
SELECT conrelid::regclass::text AS "table", conname::text AS name, pg_get_constraintdef(oid) AS definition,
       obj_description(oid, 'pg_constraint') AS comment, convalidated AS valid
FROM pg_constraint
WHERE contype = 'f' AND confrelid = ANY ($1::text[]::regclass[]) AND conrelid <> ALL ($1::text[]::regclass[])
ORDER BY 1, 2"#;

const TRIGGERS: &str = r#"
SELECT tgrelid::regclass::text AS "table", tgname::text AS name, pg_get_triggerdef(oid) AS definition, tgenabled::text AS enabled
FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY ($1::text[]::regclass[])
ORDER BY 1, 2"#;

impl Catalog {
    /// What differs from another one, in words.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        fn missing<'a, T: PartialEq + std::fmt::Debug>(
            word: &'a str,
            these: &'a [T],
            those: &'a [T],
        ) -> impl Iterator<Item = String> + 'a {
            let lost = these.iter().filter(|one| !those.contains(one));
            lost.map(move |one| format!("{word}: {one:?}"))
        }
        missing("was", &self.indexes, &other.indexes)
            .chain(missing("was", &self.foreign_keys, &other.foreign_keys))
            .chain(missing("was", &self.triggers, &other.triggers))
            .chain(missing("is", &other.indexes, &self.indexes))
            .chain(missing("is", &other.foreign_keys, &self.foreign_keys))
            .chain(missing("is", &other.triggers, &self.triggers))
            .collect()
    }

    fn suspended_indexes(&self) -> impl Iterator<Item = &Index> {
        // Primary keys that others refer to stay; the rows come in their order, which costs little.
        self.indexes
            .iter()
            .filter(|index| !index.needed && index.constraint_type.as_deref() != Some("x"))
    }

    /// Takes off what `keep` does not hold back.
    fn drops(&self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let foreign_keys = self.foreign_keys.iter().map(|key| {
            format!(
                "ALTER TABLE {} DROP CONSTRAINT {}",
                key.table,
                quoted(&key.name)
            )
        });
        let indexes = self
            .suspended_indexes()
            .filter(|index| !keep(&index.definition));
        let indexes = indexes.map(|index| match &index.constraint {
            Some(constraint) => {
                format!(
                    "ALTER TABLE {} DROP CONSTRAINT {}",
                    index.table,
                    quoted(constraint)
                )
            }
            None => format!("DROP INDEX {}", quoted(&index.name)),
        });
        let triggers = self
            .triggers
            .iter()
            .filter(|trigger| trigger.enabled != "D")
            .map(|trigger| {
                format!(
                    "ALTER TABLE {} DISABLE TRIGGER {}",
                    trigger.table,
                    quoted(&trigger.name)
                )
            });
        foreign_keys.chain(indexes).chain(triggers).collect()
    }

    fn index_steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self
            .suspended_indexes()
            .map(|index| {
                let mut statements = vec![index.definition.clone()];
                if let (Some(constraint), Some(kind)) = (&index.constraint, &index.constraint_type)
                {
                    let kind = if kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
                    statements.push(format!(
                        "ALTER TABLE {} ADD CONSTRAINT {} {kind} USING INDEX {}",
                        index.table,
                        quoted(constraint),
                        quoted(&index.name)
                    ));
                    statements.extend(index.constraint_comment.as_deref().map(|comment| {
                        let constraint = quoted(constraint);
                        let comment = literal(comment);
                        format!(
                            "COMMENT ON CONSTRAINT {constraint} ON {} IS {comment}",
                            index.table
                        )
                    }));
                }
                statements.extend(index.comment.as_deref().map(|comment| {
                    format!(
                        "COMMENT ON INDEX {} IS {}",
                        quoted(&index.name),
                        literal(comment)
                    )
                }));
                Step {
                    name: index.name.clone(),
                    table: index.table.clone(),
                    statements,
                    cost: match (index.gin, index.definition.contains("title")) {
                        (true, _) => 3,
                        (false, true) => 2,
                        (false, false) => 1,
                    },
                }
            })
            .collect();
        // The longest first, so that none is left alone at the end.
        steps.sort_by_key(|step| std::cmp::Reverse(step.cost));
        steps
    }

    fn foreign_key_steps(&self) -> Vec<Step> {
        let step = |key: &ForeignKey| {
            let (table, name) = (&key.table, quoted(&key.name));
            // Adding it unchecked takes a lock for a moment, checking it lets others pass.
            let mut statements = vec![format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {} NOT VALID",
                key.definition.trim_end_matches(" NOT VALID")
            )];
            if key.valid {
                statements.push(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"));
            }
            statements.extend(key.comment.as_deref().map(|comment| {
                format!(
                    "COMMENT ON CONSTRAINT {name} ON {table} IS {}",
                    literal(comment)
                )
            }));
            Step {
                name: key.name.clone(),
                table: key.table.clone(),
                statements,
                cost: 1,
            }
        };
        self.foreign_keys.iter().map(step).collect()
    }

    fn trigger_statements(&self) -> Vec<String> {
        self.triggers
            .iter()
            .filter_map(|trigger| {
                let how = match trigger.enabled.as_str() {
                    "O" => "ENABLE",
                    "A" => "ENABLE ALWAYS",
                    "R" => "ENABLE REPLICA",
                    _ => return None,
                };
                let (table, name) = (&trigger.table, quoted(&trigger.name));
                Some(format!("ALTER TABLE {table} {how} TRIGGER {name}"))
            })
            .collect()
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    // Comments have no backslashes that matter: standard_conforming_strings has been on for many versions.
    format!("'{}'", text.replace('\'', "''"))
}

impl BulkConnection {
    /// The indexes, foreign keys and triggers of the tables that are loaded.
    pub async fn catalog(&mut self) -> Result<Catalog, BulkError> {
        let failed = || BulkError::at("read the catalog");
        Ok(Catalog {
            indexes: sqlx::query_as(INDEXES)
                .bind(TABLES)
                .fetch_all(&mut self.session)
                .await
                .map_err(failed())?,
            foreign_keys: sqlx::query_as(FOREIGN_KEYS)
                .bind(TABLES)
                .fetch_all(&mut self.session)
                .await
                .map_err(failed())?,
            triggers: sqlx::query_as(TRIGGERS)
                .bind(TABLES)
                .fetch_all(&mut self.session)
                .await
                .map_err(failed())?,
        })
    }

    /// Takes everything off, in one transaction, and writes the way back down in it.
    ///
    /// The tables must be empty: [`BulkConnection::abandon_load`] empties them.
    pub async fn suspend_indexes(&mut self) -> Result<Suspension, BulkError> {
        let before = self.catalog().await?;
        let suspension = Suspension {
            indexes: before.index_steps(),
            foreign_keys: before.foreign_key_steps(),
            before,
        };
        let way_back = suspension
            .indexes
            .iter()
            .chain(&suspension.foreign_keys)
            .flat_map(|step| step.statements.iter().cloned())
            .chain(suspension.before.trigger_statements());
        let mut statements = vec![format!(
            "CREATE TABLE {NOTES} (place integer PRIMARY KEY, statement text NOT NULL)"
        )];
        statements.extend(way_back.enumerate().map(|(place, statement)| {
            format!(
                "INSERT INTO {NOTES} VALUES ({place}, {})",
                literal(&statement)
            )
        }));
        statements.extend(suspension.before.drops(|_| false));
        self.run_together("take the indexes off", &statements)
            .await?;
        Ok(suspension)
    }

    /// Does a step of the way back.
    pub async fn restore(&mut self, step: &Step) -> Result<(), BulkError> {
        self.run_each("build an index or check a foreign key", &step.statements)
            .await
    }

    /// Turns the triggers on again, checks that everything is as it was and throws the notes away.
    ///
    /// The differences that were found; none is how it should be.
    pub async fn end_suspension(
        &mut self,
        suspension: &Suspension,
    ) -> Result<Vec<String>, BulkError> {
        self.run_each(
            "turn the triggers on",
            &suspension.before.trigger_statements(),
        )
        .await?;
        let after = self.catalog().await?;
        let differences = suspension.before.differences(&after);
        if differences.is_empty() {
            self.run("throw the notes away", &format!("DROP TABLE {NOTES}"))
                .await?;
        }
        Ok(differences)
    }

    /// Whether a load was cut off with its indexes off.
    pub async fn load_was_cut_off(&mut self) -> Result<bool, BulkError> {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(NOTES)
            .fetch_one(&mut self.session)
            .await
            .map_err(BulkError::at("look for a load that was cut off"))
    }

    /// After a load that was cut off: empties the tables and puts everything back. All or nothing.
    pub async fn abandon_load(&mut self) -> Result<(), BulkError> {
        let way_back: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT statement FROM {NOTES} ORDER BY place"
        )))
        .fetch_all(&mut self.session)
        .await
        .map_err(BulkError::at("read how to put the indexes back"))?;
        let after = self.catalog().await?;
        // Tables outside may refer to those that are emptied: they have no rows that do, or these would not have
        // been empty when the load began.
        let outside: Vec<ForeignKey> = sqlx::query_as(OUTSIDE_FOREIGN_KEYS)
            .bind(TABLES)
            .fetch_all(&mut self.session)
            .await
            .map_err(BulkError::at("read the catalog"))?;
        let outside = Catalog {
            indexes: Vec::new(),
            foreign_keys: outside,
            triggers: Vec::new(),
        };
        let tables: Vec<_> = TABLES.iter().chain(PARTITIONED).copied().collect();

        let mut statements = outside.drops(|_| false);
        statements.push(format!("TRUNCATE {}", tables.join(", ")));
        // What had been put back already is taken off again, so that all of the way back can be gone.
        statements.extend(
            after.drops(|definition| !way_back.iter().any(|statement| statement == definition)),
        );
        statements.extend(way_back);
        statements.extend(
            outside
                .foreign_key_steps()
                .into_iter()
                .flat_map(|step| step.statements),
        );
        statements.push(format!("DROP TABLE {NOTES}"));
        statements.push("REFRESH MATERIALIZED VIEW mv_pitch_stats".to_owned());
        self.run_together("put the indexes back", &statements).await
    }

    async fn run_each(
        &mut self,
        step: &'static str,
        statements: &[String],
    ) -> Result<(), BulkError> {
        for statement in statements {
            self.run(step, statement).await?;
        }
        Ok(())
    }

    async fn run_together(
        &mut self,
        step: &'static str,
        statements: &[String],
    ) -> Result<(), BulkError> {
        // Several statements in one message are one transaction, which fails as a whole.
        self.run(step, &statements.join(";\n")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a creator's"), "'a creator''s'");
    }
}
