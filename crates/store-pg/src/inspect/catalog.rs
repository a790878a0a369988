//! Tables, indexes and foreign keys as the catalog has them.

use super::{InspectError, Inspector, failed};
use serde::Serialize;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// The tables, indexes and foreign keys of the product's schema.
///
/// Partitions are left out of `indexes`, and `parents` leads from them and their indexes to those of the
/// whole table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Catalog {
    /// Tables, materialised views and partitions.
    pub relations: Vec<Relation>,
    /// Indexes, but those of partitions.
    pub indexes: Vec<Index>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// From a partition to its table, and from a partition's index to that of its table.
    pub parents: BTreeMap<String, String>,
}

impl Catalog {
    /// The table that a name stands for: itself, or the table it is a partition of.
    pub fn whole<'a>(&'a self, name: &'a str) -> &'a str {
        self.parents.get(name).map_or(name, String::as_str)
    }

    /// The index of that name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// About how many rows a table or a partition has, by the planner's statistics.
    pub fn rows(&self, relation: &str) -> f64 {
        self.relations
            .iter()
            .find(|known| known.name == relation)
            .map_or(0.0, |known| known.rows)
    }
}

/// A table, a materialised view or a partition.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// The table that this is a partition of.
    pub partition_of: Option<String>,
    /// About how many rows it has, partitions included, by the planner's statistics.
    pub rows: f64,
    /// Its size with its indexes, partitions included.
    pub bytes: i64,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// The table that it is on.
    pub table: String,
    /// `btree`, `gin`, `brin`, …
    pub method: String,
    /// What follows the method in its definition: keys, included columns, settings and predicate.
    pub definition: String,
    /// Its key columns in order; an expression is empty.
    pub keys: Vec<String>,
    /// Columns that it only carries along.
    pub included: Vec<String>,
    /// The rows that it covers, if not all.
    pub predicate: Option<String>,
    /// Whether two rows may not be alike in it.
    pub is_unique: bool,
    /// Whether it belongs to a primary key or a unique constraint.
    pub is_constraint: bool,
    /// Whether the planner may use it.
    pub is_valid: bool,
    /// Why it is there.
    pub comment: Option<String>,
    /// Its size, partitions included.
    pub bytes: i64,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The table that refers to another.
    pub table: String,
    /// The columns that refer.
    pub columns: Vec<String>,
}

const RELATIONS: &str = "
SELECT c.relname::text AS name, p.relname::text AS partition_of,
       CASE c.relkind
           WHEN 'p' THEN (SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)
                          FROM pg_partition_tree(c.oid) t JOIN pg_class leaf ON leaf.oid = t.relid
                          WHERE t.isleaf)
           ELSE greatest(c.reltuples, 0) END::float8 AS rows,
       CASE c.relkind
           WHEN 'p' THEN (SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0)
                          FROM pg_partition_tree(c.oid) t)
           ELSE pg_total_relation_size(c.oid) END::bigint AS bytes
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'm')
ORDER BY c.relname";

const INDEXES: &str = "
SELECT c.relname::text AS name, t.relname::text AS table, am.amname::text AS method,
       substring(pg_get_indexdef(c.oid) FROM ' USING [a-z]+ (.*)$') AS definition,
       (SELECT array_agg(coalesce(a.attname::text, '') ORDER BY k.n)
        FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
        LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum AND k.attnum <> 0
        WHERE k.n <= x.indnkeyatts) AS keys,
       (SELECT coalesce(array_agg(a.attname::text ORDER BY k.n), '{}')
        FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE k.n > x.indnkeyatts) AS included,
       pg_get_expr(x.indpred, x.indrelid) AS predicate,
       x.indisunique AS is_unique,
       EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid AND o.contype IN ('p', 'u', 'x')) AS is_constraint,
       x.indisvalid AND x.indisready AS is_valid,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT coalesce(sum(pg_relation_size(s.oid)), 0)
        FROM (SELECT c.oid UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid) s)::bigint AS bytes
FROM pg_index x
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_am am ON am.oid = c.relam
WHERE c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
  AND t.relname <> '_sqlx_migrations'
ORDER BY t.relname, c.relname";

const FOREIGN_KEYS: &str = "
SELECT o.conname::text AS name, t.relname::text AS table,
       (SELECT array_agg(a.attname::text ORDER BY k.n)
        FROM unnest(o.conkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum) AS columns
FROM pg_constraint o
JOIN pg_class t ON t.oid = o.conrelid
WHERE o.contype = 'f' AND o.conparentid = 0 AND t.relnamespace = current_schema()::regnamespace
ORDER BY t.relname, o.conname";

const PARENTS: &str = "
SELECT c.relname::text, p.relname::text
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relnamespace = current_schema()::regnamespace";

impl Inspector {
    /// Reads the catalog of the schema that the product's tables are in.
    pub async fn catalog(&mut self) -> Result<Catalog, InspectError> {
        let doing = "reading the catalog";
        let connection = &mut self.connection;
        let error = |error| failed(doing, error);
        let relations = sqlx::query_as(RELATIONS)
            .fetch_all(&mut *connection)
            .await
            .map_err(error)?;
        let indexes = sqlx::query_as(INDEXES)
            .fetch_all(&mut *connection)
            .await
            .map_err(error)?;
        let foreign_keys = sqlx::query_as(FOREIGN_KEYS)
            .fetch_all(&mut *connection)
            .await
            .map_err(error)?;
        let parents: Vec<(String, String)> = sqlx::query_as(PARENTS)
            .fetch_all(&mut *connection)
            .await
            .map_err(error)?;
        Ok(Catalog {
            relations,
            indexes,
            foreign_keys,
            parents: parents.into_iter().collect(),
        })
    }
}
