//! A primary with a streaming replica: what the replica has, and who reads from it.

use anyhow::Result;
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::{OwnedPostgres, OwnedReplica};

#[test]
fn a_replica_has_what_the_primary_has_but_not_while_replay_is_paused() -> Result<()> {
    let primary = OwnedPostgres::start()?;
    let mut replica = OwnedReplica::start(&primary)?;
    let has = |replica: &OwnedReplica, n: u32| {
        let query = format!("SELECT EXISTS (SELECT FROM numbers WHERE n = {n})");
        query_bool(&replica.url(), &query)
    };
    execute(
        &primary.url(),
        "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (1)",
    )?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 1)?);

    replica.pause_replay()?;
    execute(&primary.url(), "INSERT INTO numbers VALUES (2)")?;
    assert!(!has(&replica, 2)?, "replay is paused");
    replica.resume_replay()?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 2)?);

    replica.kill()?;
    execute(&primary.url(), "INSERT INTO numbers VALUES (3)")?;
    replica.restart()?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 3)?, "its slot kept what it missed");
    Ok(())
}
