//! Which statements are planned, with what, and how the report reads.

use super::*;

#[test]
fn statements_that_cannot_be_prepared_are_known() {
    let unplanned: Vec<&str> = pitchey_sql::statements()
        .iter()
        .filter(|statement| !is_planned(statement))
        .map(|statement| statement.name)
        .collect();
    assert_eq!(unplanned, ["stats.refresh"]);
}

#[test]
fn a_stand_in_fits_its_type() {
    let types = ["uuid", "text", "text[]", "bigint", "boolean"].map(str::to_owned);
    let values: Vec<String> = stand_ins(&types).into_iter().flatten().collect();
    assert_eq!(
        values,
        [
            "00000000-0000-7000-8000-000000000000",
            "none",
            "{}",
            "1",
            "true"
        ]
    );
}

#[test]
fn a_report_says_what_is_wrong_and_what_is_open() {
    let mut report = Report {
        statements: 2,
        unplanned: vec!["stats.refresh"],
        samples: 40,
        plans: 60,
        generic_not_taken: 1,
        proved: 3,
        proved_without_scans: 1,
        unproved: vec![Finding::new(
            "not-provable",
            "media.by_key",
            "media_key is not used: media has 0 rows".to_owned(),
        )],
        findings: vec![Finding::new(
            "sequential-scan",
            "users.by_email",
            "sequential scan of users, 100,000 rows (custom plan, 20 of 20 samples)".to_owned(),
        )],
    };
    assert!(!report.passed());
    insta::assert_snapshot!("findings", report.to_text());
    report.findings.clear();
    assert!(report.passed());
    insta::assert_snapshot!("nothing_found", report.to_text());
}
