//! Limits of two origins over one Redis: together no more than the quota, and without Redis each its own.

use crate::client::Person;
use crate::origin::Origin;
use anyhow::{Result, ensure};
use http::Method;
use pitchey_testkit::{OwnedRedis, TestDb};
use serde_json::json;

const WRITES: usize = 6;
const LOGINS: usize = 4;

struct Pair {
    origins: [Origin; 2],
    redis: OwnedRedis,
    _database: TestDb,
}

impl Pair {
    async fn open(timeout_ms: &str) -> Result<Self> {
        let database = TestDb::new().await;
        let redis = tokio::task::spawn_blocking(OwnedRedis::start).await??;
        let url = redis.url();
        let settings = [
            ("PITCHEY_CACHE__URL", url.as_str()),
            ("PITCHEY_CACHE__TIMEOUT_MS", timeout_ms),
            ("PITCHEY_CACHE__WARM", "false"),
            ("PITCHEY_LIMITS__WRITE", "6 then 1/h"),
            ("PITCHEY_LIMITS__ACCOUNT", "4 then 1/h"),
            ("PITCHEY_LIMITS__AUTH", "100 then 1/h"),
        ];
        let first = Origin::start_with(database.url(), &settings).await?;
        let second = Origin::start_with(database.url(), &settings).await?;
        let begun = tokio::time::Instant::now();
        // Attached, so connected: from here on both count in Redis.
        for origin in [&first, &second] {
            while !is_counted_in(&url, origin).await? {
                ensure!(begun.elapsed().as_secs() < 60, "Redis is never asked");
            }
        }
        Ok(Self {
            origins: [first, second],
            redis,
            _database: database,
        })
    }

    /// How many of so many writes are let through, the origins asked in turn.
    async fn writes(&self, person: &Person, count: usize) -> Result<usize> {
        let mut allowed = 0;
        for n in 0..count {
            let client = &self.origins[n % 2].client;
            let target = "/api/notifications/read";
            let answer = client
                .ask(person, Method::POST, target, &[], Some(&json!({})))
                .await?;
            match answer.status {
                200 => allowed += 1,
                429 => {}
                _ => anyhow::bail!("{}", answer.summary()),
            }
        }
        Ok(allowed)
    }

    /// How many of so many wrong passwords are checked, the origins asked in turn.
    async fn logins(&self, name: &str, count: usize) -> Result<usize> {
        let mut checked = 0;
        for n in 0..count {
            match login(&self.origins[n % 2], name).await? {
                401 => checked += 1,
                429 => {}
                status => anyhow::bail!("{status}"),
            }
        }
        Ok(checked)
    }

    async fn stop(self) -> Result<()> {
        for origin in self.origins {
            origin.stop().await?;
        }
        Ok(())
    }
}

async fn login(origin: &Origin, name: &str) -> Result<u16> {
    let body = json!({"email": format!("{name}@example.org"), "password": "wrong"});
    let client = &origin.client;
    let answer = client.send(Method::POST, "/api/auth/login", &[], Some(&body));
    Ok(answer.await?.status)
}

async fn keys(url: &str) -> Result<Vec<String>> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut keys = redis::cmd("KEYS");
    Ok(keys.arg("pitchey:r:*").query_async(&mut connection).await?)
}

/// Whether a login that nobody has tried yet leaves a key in Redis.
async fn is_counted_in(url: &str, origin: &Origin) -> Result<bool> {
    let before = keys(url).await?.len();
    let name = format!("nobody{}", uuid::Uuid::new_v4().simple());
    login(origin, &name).await?;
    Ok(keys(url).await?.len() > before)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_origins_together_allow_no_more_than_the_quota() -> Result<()> {
    // No answer is too late for a busy machine: what is not counted together would be allowed twice.
    let pair = Pair::open("10000").await?;
    let ann = pair.origins[0].client.register("ann", "creator").await?;
    assert_eq!(pair.writes(&ann, 2 * WRITES).await?, WRITES);
    assert_eq!(pair.logins("ann", 2 * LOGINS).await?, LOGINS);
    assert_eq!(pair.logins("nobody", 2 * LOGINS).await?, LOGINS);

    for key in keys(&pair.redis.url()).await? {
        let parts: Vec<&str> = key.split(':').collect();
        let [_, _, class, who] = parts[..] else {
            panic!("{key} has other parts");
        };
        assert!(
            ["write", "auth", "account", "account-total"].contains(&class),
            "{key}"
        );
        assert_eq!(who.len(), 22, "{key} is 16 bytes of a keyed hash");
    }
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_origin_allows_its_own_quota_and_nothing_fails() -> Result<()> {
    let mut pair = Pair::open("200").await?;
    let mut people = Vec::new();
    for name in ["ann", "bob"] {
        people.push((
            name,
            pair.origins[0].client.register(name, "creator").await?,
        ));
    }
    for (name, person) in people {
        tokio::task::block_in_place(|| match name {
            "ann" => pair.redis.pause(),
            _ => pair.redis.kill(),
        })?;
        assert_eq!(
            pair.writes(&person, 3 * WRITES).await?,
            2 * WRITES,
            "{name}"
        );
        assert_eq!(pair.logins(name, 3 * LOGINS).await?, 2 * LOGINS, "{name}");
    }
    let metrics = pair.origins[0].metrics().await?;
    assert!(metrics.contains("rate_limits_counted_alone_total{class=\"write\"}"));
    pair.stop().await
}
