//! A logical Redis database of its own for each test.
//!
//! Logical databases share nothing but publish and subscribe, whose channels are the server's: a
//! test of those puts [`TestRedis::prefix`] before its channels' names.
//!
//! Who uses which is written down in database 0, with an expiry that outlives any test, so that the
//! tests of several processes keep apart and the leases of killed ones come back.

use anyhow::{Context as _, Result, bail};
use redis::cmd;

use crate::net;
use crate::provision;
use crate::redis_server;

/// Longer than a test runner lets any test run.
const LEASE_SECONDS: u64 = 900;

/// A logical database for one test, emptied before and after.
#[derive(Debug)]
pub struct TestRedis {
    server_url: String,
    number: u16,
    owner: String,
}

impl TestRedis {
    /// An empty logical database.
    ///
    /// # Panics
    ///
    /// When no Redis can be had: a test can do nothing about it.
    pub async fn new() -> Self {
        let leased = tokio::task::spawn_blocking(Self::lease).await;
        leased
            .context("the lease was cancelled")
            .flatten()
            .unwrap_or_else(|error| panic!("no Redis for this test: {error:#}"))
    }

    fn lease() -> Result<Self> {
        let server_url = provision::shared_redis()?.url().to_owned();
        let mut connection = redis_server::connect(&with_number(&server_url, 0)?)?;
        let (_, databases): (String, u16) = cmd("CONFIG")
            .arg("GET")
            .arg("databases")
            .query(&mut connection)?;
        let owner = net::random_hex(8)?;
        for number in 1..databases {
            let taken: Option<String> = cmd("SET")
                .arg(lease_key(number))
                .arg(&owner)
                .arg("NX")
                .arg("EX")
                .arg(LEASE_SECONDS)
                .query(&mut connection)?;
            if taken.is_some() {
                let lease = Self {
                    server_url,
                    number,
                    owner,
                };
                lease.empty()?;
                return Ok(lease);
            }
        }
        bail!("all {databases} logical databases are in use")
    }

    /// The URL of the logical database.
    pub fn url(&self) -> String {
        // It was valid when the lease was taken.
        with_number(&self.server_url, self.number).unwrap_or_default()
    }

    /// Text that no other test has, for the names that logical databases do not keep apart.
    pub fn prefix(&self) -> &str {
        &self.owner
    }

    fn empty(&self) -> Result<()> {
        cmd("FLUSHDB").exec(&mut redis_server::connect(&self.url())?)?;
        Ok(())
    }

    fn release(&self) -> Result<()> {
        self.empty()?;
        let mut connection = redis_server::connect(&with_number(&self.server_url, 0)?)?;
        cmd("DEL")
            .arg(lease_key(self.number))
            .exec(&mut connection)?;
        Ok(())
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        // In vain means that the lease runs out by itself.
        let _ = self.release();
    }
}

fn lease_key(number: u16) -> String {
    format!("pitchey:testkit:lease:{number}")
}

/// The URL of another logical database of the same server.
fn with_number(server_url: &str, number: u16) -> Result<String> {
    let start = server_url
        .find("://")
        .context("the Redis URL has no scheme")?
        + 3;
    let end = server_url[start..]
        .find(['/', '?'])
        .map_or(server_url.len(), |at| start + at);
    Ok(format!("{}/{number}", &server_url[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_logical_database_of_the_same_server() {
        for (server, expected) in [
            ("redis://:p@h:1/0", "redis://:p@h:1/7"),
            ("redis://h:1", "redis://h:1/7"),
            ("rediss://h:1/3?x=y", "rediss://h:1/7"),
        ] {
            assert_eq!(with_number(server, 7).expect("a URL"), expected);
        }
        with_number("h:1", 7).expect_err("that is no URL");
    }
}
