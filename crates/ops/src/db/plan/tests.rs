//! Plans as a server gave them for a million pitches, with what is not read here left out.

use super::*;
use pitchey_store_pg::inspect::{Index, Relation};

const LIMITS: Limits = Limits {
    scan: 10_000.0,
    sort: 2_000.0,
    discard: 20_000.0,
};

fn parse(json: &str) -> Node {
    let json = serde_json::from_str(json).expect("the captured plan is JSON");
    Explained::parse(json)
        .expect("the captured plan is a plan")
        .plan
}

macro_rules! captured {
    ($name:literal) => {
        parse(include_str!(concat!($name, ".json")))
    };
}

fn index(name: &str, table: &str, is_unique: bool) -> Index {
    Index {
        name: name.to_owned(),
        table: table.to_owned(),
        method: "btree".to_owned(),
        definition: String::new(),
        keys: Vec::new(),
        included: Vec::new(),
        predicate: None,
        is_unique,
        is_constraint: false,
        is_valid: true,
        comment: None,
        bytes: 0,
    }
}

fn catalog() -> Catalog {
    let relation = |(name, rows): (&str, f64)| Relation {
        name: name.to_owned(),
        partition_of: None,
        rows,
        bytes: 0,
    };
    Catalog {
        relations: [
            ("users", 100_000.0),
            ("sessions", 150_000.0),
            ("notifications", 1_000_000.0),
            ("imports", 3.0),
        ]
        .map(relation)
        .to_vec(),
        indexes: vec![
            index("users_pkey", "users", true),
            index("users_username", "users", true),
            index("users_avatar", "users", false),
            index("imports_pkey", "imports", true),
        ],
        foreign_keys: Vec::new(),
        parents: [
            ("analytics_events_202611", "analytics_events"),
            (
                "analytics_events_202611_occurred_at_idx",
                "analytics_events_time",
            ),
        ]
        .map(|(child, parent)| (child.to_owned(), parent.to_owned()))
        .into(),
    }
}

fn indexes(plan: &Node) -> Vec<String> {
    plan.indexes(&catalog()).into_iter().collect()
}

fn waste(plan: &Node) -> Vec<String> {
    let waste = plan.waste(&catalog(), LIMITS);
    waste.iter().map(ToString::to_string).collect()
}

#[test]
fn a_walk_of_an_index_with_two_joins_wastes_nothing() {
    let plan = captured!("nested_limit");
    assert_eq!(
        indexes(&plan),
        ["pitch_listings_new", "pitches_pkey", "users_pkey"]
    );
    assert_eq!(waste(&plan), [""; 0]);
    assert!(!plan.writes());
}

#[test]
fn a_partition_and_its_index_count_as_those_of_the_table() {
    let plan = captured!("partitions");
    assert_eq!(indexes(&plan), ["analytics_events_time"]);
    assert_eq!(
        plan.outline(&catalog()),
        "Bitmap Index Scan analytics_events_time"
    );
}

#[test]
fn indexes_are_found_in_subplans_initplans_and_ctes() {
    assert_eq!(
        indexes(&captured!("subplans")),
        [
            "follows_followers",
            "pitch_listings_creator_new",
            "users_username"
        ]
    );
    assert_eq!(
        indexes(&captured!("cte_and_initplan")),
        ["pitches_of_creator", "sessions_user", "users_username"]
    );
}

#[test]
fn a_sequential_scan_of_a_large_table_is_waste_and_of_a_small_one_is_not() {
    let plan = captured!("sequential_scan");
    assert_eq!(waste(&plan), ["sequential scan of users, 100,000 rows"]);
    let limits = Limits {
        scan: 100_000.0,
        ..LIMITS
    };
    assert_eq!(plan.waste(&catalog(), limits), []);
}

#[test]
fn a_sort_is_judged_by_the_rows_that_go_in() {
    assert_eq!(
        waste(&captured!("top_n_sort")),
        [
            "sort of 150,000 rows by last_seen_at DESC",
            "sequential scan of sessions, 150,000 rows"
        ]
    );
}

#[test]
fn a_sort_for_a_grouping_is_no_waste_of_its_own() {
    assert_eq!(
        waste(&captured!("grouping_sort")),
        ["sequential scan of notifications, 1,000,000 rows"]
    );
}

#[test]
fn a_walk_that_throws_most_away_is_waste() {
    assert_eq!(
        waste(&captured!("discards")),
        ["Index Scan pitch_listings_trending throws away 738,403 rows"]
    );
}

#[test]
fn a_delete_writes_and_uses_the_indexes_of_its_subquery() {
    let plan = captured!("delete");
    assert!(plan.writes());
    assert_eq!(indexes(&plan), ["sessions_expired", "sessions_pkey"]);
    assert_eq!(waste(&plan), [""; 0]);
}

#[test]
fn a_conflict_asks_its_target_or_every_unique_index() {
    assert_eq!(indexes(&captured!("on_conflict")), ["imports_pkey"]);
    assert_eq!(
        indexes(&captured!("on_any_conflict")),
        ["users_pkey", "users_username"]
    );
}

#[test]
fn an_outline_names_what_is_done_to_tables() {
    assert_eq!(
        captured!("top_n_sort").outline(&catalog()),
        "Sort, Seq Scan sessions"
    );
    assert_eq!(
        captured!("nested_limit").outline(&catalog()),
        "Index Only Scan pitch_listings_new, Index Scan pitches_pkey, Index Scan users_pkey"
    );
}

#[test]
fn the_making_of_a_plan_costs_more_with_more_tables() {
    let one = captured!("sequential_scan");
    assert!((one.cost_with_planning() - one.cost() - 7.5).abs() < 1e-6);
    let three = captured!("nested_limit");
    assert!((three.cost_with_planning() - three.cost() - 17.5).abs() < 1e-6);
}

#[test]
fn what_is_no_plan_is_refused() {
    Explained::parse(serde_json::json!([])).expect_err("no plan");
    Explained::parse(serde_json::json!([{ "Plan": {} }])).expect_err("a node without a type");
}
