//! Accounts, their sessions, whom they follow and what they save.

use super::pitches::pitch;
use super::random::{Purpose, Random};
use super::world::{DAY_US, SECOND_US, World, id};
use pitchey_model::{Role, Username};
use pitchey_store_pg::bulk::CopyRows;
use pitchey_store_pg::bulk::rows::{CopyRow as _, FollowRow, SavedRow, SessionRow, UserRow};
use std::collections::HashSet;
use std::ops::Range;
use uuid::Uuid;

/// Pitches that an account saves on average, and accounts that it follows.
const SAVES: f64 = 6.0;
const FOLLOWS: f64 = 5.0;

const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 \
     Mobile/15E148 Safari/604.1",
];

/// Adds the rows of the accounts in `range`. Nobody can sign in to them: they have no password.
pub(super) fn write_users(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for user in range {
        let role = world.role(user);
        let created_at = world.user_since(user);
        let (id, name, mut random) = named(world, user);
        let Name {
            display_name,
            username,
        } = name;
        let words = &world.vocabulary;
        let company = match role {
            Role::Production => {
                let mut company = String::new();
                words.coined(&mut random, &mut company);
                company.push_str(random.pick(&[" Pictures", " Films", " Studios", " Productions"]));
                company
            }
            Role::Investor if random.chance(0.5) => {
                let mut company = String::new();
                words.surname(&mut random, &mut company);
                company.push_str(random.pick(&[" Capital", " Partners", " & Co."]));
                company
            }
            _ => String::new(),
        };
        let website = random
            .chance(0.3)
            .then(|| format!("https://{username}.example.org/"));
        UserRow {
            id,
            username: &username,
            email: &format!("{username}@example.org"),
            role,
            display_name: &display_name,
            bio: &if random.chance(0.6) {
                words.prose(&mut random, 1)
            } else {
                String::new()
            },
            company: &company,
            location: if random.chance(0.8) {
                words.place(&mut random)
            } else {
                ""
            },
            website: website.as_deref(),
            created_at,
            updated_at: random.between(created_at, world.until_us),
            deleted_at: (user >= 4 && random.chance(0.003))
                .then(|| random.between(created_at, world.until_us)),
        }
        .write(rows);
    }
}

/// What an account is called.
pub(super) struct Name {
    pub(super) display_name: String,
    pub(super) username: String,
}

/// What an account is called, without the rest of it.
pub(super) fn name(world: &World, user: u64) -> Name {
    named(world, user).1
}

/// The id and the name of an account, and the source that the rest of it is drawn from.
fn named(world: &World, user: u64) -> (Uuid, Name, Random) {
    let mut random = world.random(Purpose::User, user);
    let id = id(world.user_since(user), &mut random);
    let display_name = world.vocabulary.name(&mut random);
    let username = username(&display_name, world.seed, user);
    let name = Name {
        display_name,
        username,
    };
    (id, name, random)
}

/// A name that nobody else has, of this seed or another: the number of the account stands at its end.
fn username(display_name: &str, seed: u64, user: u64) -> String {
    let number = match seed {
        1 => format!("-{}", user + 1),
        _ => format!("-{seed}-{}", user + 1),
    };
    let name = Username::from_person(display_name).map_or_else(|| "user".to_owned(), String::from);
    // User names are ASCII, so bytes are characters.
    let stem = name[..name.len().min(Username::MAX - number.len())].trim_end_matches('-');
    format!("{stem}{number}")
}

/// Adds sessions, live, expired and revoked. Their tokens are unknown to everyone.
pub(super) fn write_sessions(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    const IDLE_US: i64 = 7 * DAY_US;
    const LIFE_US: i64 = 30 * DAY_US;
    for user in range {
        let mut random = world.random(Purpose::Sessions, user);
        let since = world.user_since(user);
        for _ in 0..random.times(0.3) {
            let from = since.max(world.until_us - 60 * DAY_US);
            let created_at = random.between(from, world.until_us);
            let last_seen_at = random.between(created_at, world.until_us.min(created_at + LIFE_US));
            let expires_at = created_at + LIFE_US;
            SessionRow {
                id: id(created_at, &mut random),
                user_id: world.user_id(user),
                token_hash: random.bytes(),
                user_agent: random.pick(USER_AGENTS),
                created_at,
                last_seen_at,
                idle_expires_at: (last_seen_at + IDLE_US).min(expires_at),
                expires_at,
                revoked_at: random.chance(0.1).then_some(last_seen_at),
            }
            .write(rows);
        }
    }
}

/// Whom an account follows, and since when.
pub(super) fn follows(world: &World, user: u64) -> Vec<(u64, i64)> {
    let mut random = world.random(Purpose::Follows, user);
    let since = world.user_since(user);
    let mut seen = HashSet::new();
    let mut follows = Vec::new();
    for _ in 0..skewed_times(FOLLOWS, &mut random) {
        let at = random.between(since, world.until_us);
        let followed = world.creator_at(at, &mut random);
        if followed != user && world.user_since(followed) <= at && seen.insert(followed) {
            follows.push((followed, at));
        }
    }
    follows
}

/// Adds who follows whom.
pub(super) fn write_follows(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for user in range {
        for (followed, created_at) in follows(world, user) {
            FollowRow {
                follower_id: world.user_id(user),
                followed_id: world.user_id(followed),
                created_at,
            }
            .write(rows);
        }
    }
}

/// Adds saved pitches.
pub(super) fn write_saves(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for user in range {
        let mut random = world.random(Purpose::Saves, user);
        let since = world.user_since(user);
        let mut seen = HashSet::new();
        for _ in 0..skewed_times(SAVES, &mut random) {
            let saved = pitch(world, world.popular_pitch(&mut random));
            let Some((from, to)) = saved.public_life(world) else {
                continue;
            };
            if saved.creator != user && since < to && seen.insert(saved.index) {
                SavedRow {
                    user_id: world.user_id(user),
                    pitch_id: saved.id,
                    created_at: random.between(from.max(since), to),
                }
                .write(rows);
            }
        }
    }
}

/// Many do something a few times, and a few do it often.
fn skewed_times(mean: f64, random: &mut Random) -> usize {
    let eager = -(1.0 - random.unit()).ln();
    random.times((mean * eager).min(200.0))
}

/// A pause of a person who looks at a screen.
pub(super) fn pause(random: &mut Random) -> i64 {
    random.wait(90.0 * SECOND_US as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_possible_and_differ_between_seeds() {
        let long = "Maximiliana Featherstonehaugh-Cholmondeley";
        for (seed, user) in [(1, 0), (2, 0), (u64::MAX, 19_999_999)] {
            let name = username(long, seed, user);
            assert!(name.parse::<Username>().is_ok(), "{name}");
        }
        assert_eq!(username("Zoë O'Brien", 1, 6), "zoe-obrien-7");
        assert_eq!(username("Zoë O'Brien", 3, 6), "zoe-obrien-3-7");
    }
}
