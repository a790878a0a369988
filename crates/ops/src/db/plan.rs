//! Reading a plan: which indexes it uses, and what of it an index should have spared.

use pitchey_store_pg::inspect::Catalog;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// What `EXPLAIN (FORMAT JSON)` says of a statement.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Explained {
    #[serde(rename = "Plan")]
    pub(crate) plan: Node,
    /// Only of a statement that was run.
    #[serde(rename = "Execution Time")]
    pub(crate) execution_ms: Option<f64>,
}

/// A node of a plan, with what stands below it: inputs, `InitPlan`s, `SubPlan`s and CTEs alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Relation Name")]
    relation: Option<String>,
    #[serde(rename = "Index Name")]
    index: Option<String>,
    #[serde(rename = "Conflict Resolution")]
    on_conflict: Option<String>,
    #[serde(rename = "Conflict Arbiter Indexes", default)]
    arbiters: Vec<String>,
    #[serde(rename = "Total Cost", default)]
    cost: f64,
    #[serde(rename = "Plan Rows", default)]
    planned_rows: f64,
    #[serde(rename = "Actual Rows")]
    actual_rows: Option<f64>,
    #[serde(rename = "Rows Removed by Filter", default)]
    removed_by_filter: f64,
    #[serde(rename = "Sort Key", default)]
    sort_key: Vec<String>,
    #[serde(rename = "Plans", default)]
    children: Vec<Node>,
}

/// How much is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// A table of more rows is not read from end to end.
    pub(crate) scan: f64,
    /// More rows are not sorted.
    pub(crate) sort: f64,
    /// No scan throws away more rows than this.
    pub(crate) discard: f64,
}

/// What an index should have spared.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Waste {
    /// A large table is read from end to end.
    SequentialScan { table: String, rows: f64 },
    /// Many rows are sorted.
    Sort { keys: String, rows: f64 },
    /// Many rows are read and thrown away.
    Discards { scan: String, rows: f64 },
}

impl Waste {
    /// The same waste of another run has the same key.
    pub(crate) fn key(&self) -> (&'static str, &str) {
        match self {
            Self::SequentialScan { table, .. } => ("scan", table),
            Self::Sort { keys, .. } => ("sort", keys),
            Self::Discards { scan, .. } => ("discards", scan),
        }
    }
}

impl fmt::Display for Waste {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequentialScan { table, rows } => {
                write!(
                    formatter,
                    "sequential scan of {table}, {} rows",
                    crate::table::count(*rows)
                )
            }
            Self::Sort { keys, rows } => {
                write!(
                    formatter,
                    "sort of {} rows by {keys}",
                    crate::table::count(*rows)
                )
            }
            Self::Discards { scan, rows } => {
                write!(
                    formatter,
                    "{scan} throws away {} rows",
                    crate::table::count(*rows)
                )
            }
        }
    }
}

impl Explained {
    /// Takes the answer of the server apart: an array of one.
    pub(crate) fn parse(json: serde_json::Value) -> anyhow::Result<Self> {
        let [explained]: [Self; 1] = serde_json::from_value(json)?;
        Ok(explained)
    }
}

impl Node {
    /// What the planner thinks it costs.
    pub(crate) const fn cost(&self) -> f64 {
        self.cost
    }

    /// What the planner thinks it costs with the making of the plan: what the server holds a generic plan
    /// against (`cached_plan_cost` in its source; subqueries count there too, which is guessed at here).
    pub(crate) fn cost_with_planning(&self) -> f64 {
        let mut tables = 0_u16;
        self.visit(None, &mut |node, _| {
            tables = tables.saturating_add(node.relation.is_some().into());
        });
        // 1000 times the default `cpu_operator_cost`.
        2.5_f64.mul_add(2.0 * f64::from(tables) + 1.0, self.cost)
    }

    /// Whether the statement writes.
    pub(crate) fn writes(&self) -> bool {
        self.any(&|node| node.kind == "ModifyTable")
    }

    /// The indexes that the plan uses; those of partitions count as those of the whole table.
    pub(crate) fn indexes(&self, catalog: &Catalog) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.visit(None, &mut |node, _| {
            for name in node.index.iter().chain(&node.arbiters) {
                found.insert(catalog.whole(name).to_owned());
            }
            // `ON CONFLICT` without a target asks every unique index, and the plan names none.
            if node.on_conflict.is_some() && node.arbiters.is_empty() {
                let unique = catalog.indexes.iter().filter(|index| {
                    index.is_unique && node.relation.as_ref() == Some(&index.table)
                });
                found.extend(unique.map(|index| index.name.clone()));
            }
        });
        found
    }

    /// What in the plan an index should have spared.
    pub(crate) fn waste(&self, catalog: &Catalog, limits: Limits) -> Vec<Waste> {
        let mut found: Vec<Waste> = Vec::new();
        self.visit(None, &mut |node, parent| {
            if let Some(waste) = node.own_waste(parent, catalog, limits)
                && !found.iter().any(|known| known.key() == waste.key())
            {
                found.push(waste);
            }
        });
        found
    }

    fn own_waste(&self, parent: Option<&Self>, catalog: &Catalog, limits: Limits) -> Option<Waste> {
        if self.kind == "Seq Scan" {
            let relation = self.relation.as_deref()?;
            let rows = catalog.rows(relation);
            return (rows > limits.scan).then(|| Waste::SequentialScan {
                table: catalog.whole(relation).to_owned(),
                rows,
            });
        }
        if matches!(self.kind.as_str(), "Sort" | "Incremental Sort") {
            // A sort that prepares a grouping or a join is one way among several to do that; no order is
            // asked for that an index could have given.
            if parent.is_some_and(Self::groups_or_joins) {
                return None;
            }
            let rows = self.children.first()?.rows();
            return (rows > limits.sort).then(|| Waste::Sort {
                keys: self.sort_key.join(", "),
                rows,
            });
        }
        (self.removed_by_filter > limits.discard).then(|| Waste::Discards {
            scan: self.label(catalog),
            rows: self.removed_by_filter,
        })
    }

    /// In one line, what is done to the tables, outermost first, left to right.
    pub(crate) fn outline(&self, catalog: &Catalog) -> String {
        let mut parts: Vec<String> = Vec::new();
        self.visit(None, &mut |node, _| {
            let shown = node.relation.is_some()
                || node.index.is_some()
                || matches!(node.kind.as_str(), "Sort" | "Incremental Sort");
            // The bitmap's index stands right below it and says more.
            if shown && node.kind != "Bitmap Heap Scan" && node.kind != "ModifyTable" {
                let label = node.label(catalog);
                if !parts.contains(&label) {
                    parts.push(label);
                }
            }
        });
        parts.join(", ")
    }

    fn label(&self, catalog: &Catalog) -> String {
        let mut label = self.kind.clone();
        if let Some(name) = self.index.as_deref().or(self.relation.as_deref()) {
            let _ = write!(label, " {}", catalog.whole(name));
        }
        label
    }

    /// Rows that come out of it: as counted, if it was run, else as planned.
    fn rows(&self) -> f64 {
        self.actual_rows.unwrap_or(self.planned_rows)
    }

    fn groups_or_joins(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "Aggregate" | "Group" | "Unique" | "SetOp" | "Merge Join"
        )
    }

    fn any(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        holds(self) || self.children.iter().any(|child| child.any(holds))
    }

    /// Each node before those below it, together with the one that its rows go to.
    fn visit<'a>(
        &'a self,
        parent: Option<&'a Self>,
        see: &mut impl FnMut(&'a Self, Option<&'a Self>),
    ) {
        see(self, parent);
        // These pass rows on as they are.
        let passes_on = matches!(
            self.kind.as_str(),
            "Gather" | "Gather Merge" | "Materialize"
        );
        for child in &self.children {
            child.visit(if passes_on { parent } else { Some(self) }, see);
        }
    }
}

#[cfg(test)]
mod tests;
