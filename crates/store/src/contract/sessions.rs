//! Sessions.

use super::given::{at, new_account, new_session, origin, registered, secret};
use super::{Harness, Result};
use crate::accounts::{Operation, Proof, Rehash, TokenHash};
use crate::{Accounts as _, FullStore, StoreError};
use pitchey_model::event::Tag;
use pitchey_model::{SessionId, UserId};
use secrecy::ExposeSecret as _;
use time::{Duration, OffsetDateTime};

const FIRST: TokenHash = [1; 32];
const SECOND: TokenHash = [2; 32];
const TICK: Duration = Duration::microseconds(1);

async fn opened<S: FullStore>(store: &S, user: UserId, n: u8, now: OffsetDateTime) -> Result {
    let session = new_session(n, now);
    let origin = origin();
    let opened = store.open_session(user, session, None, None, &origin, now);
    assert!(opened.await?, "the account is open");
    Ok(())
}

async fn is_live<S: FullStore>(
    store: &S,
    token: &TokenHash,
    now: OffsetDateTime,
) -> std::result::Result<bool, StoreError> {
    Ok(store.session(token, now).await?.is_some())
}

async fn password<S: FullStore>(
    store: &S,
    user: UserId,
) -> std::result::Result<String, StoreError> {
    let found = store.credentials_of(user).await?.expect("she is there");
    let hash = found.password_hash.expect("she has a password");
    Ok(hash.expose_secret().to_owned())
}

fn rehash(old: &str, new: &str) -> Rehash {
    Rehash {
        old: secret(old),
        new: secret(new),
    }
}

/// A session says who acts; another token is nobody's.
pub async fn sessions_are_found_by_their_token(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let session = store.session(&FIRST, at(1)).await?.expect("it is live");
    let (given, account) = (new_session(1, at(0)), new_account(9, "zoe"));
    assert_eq!((session.actor.id, session.actor.session), (zoe, given.id));
    assert_eq!(session.actor.username, account.username);
    assert_eq!(session.actor.display_name, account.display_name);
    assert_eq!(session.actor.role, account.role);
    assert_eq!(session.last_seen_at, at(0));
    assert_eq!(session.idle_expires_at, given.idle_expires_at);
    assert_eq!(session.expires_at, given.expires_at);
    assert_eq!(store.session(&SECOND, at(1)).await?, None);
    opened(store, zoe, 2, at(1)).await?;
    let second = store.session(&SECOND, at(1)).await?.expect("it is live");
    assert_eq!(second.actor.session, new_session(2, at(1)).id);
    let traces = harness.traces().await;
    assert_eq!(traces.audit, ["account.register", "session.open"]);
    Ok(())
}

/// What an operator does to no thing of the store is in the audit log all the same.
pub async fn what_operators_do_is_noted(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let operation = Operation {
        action: "cache.purge",
        subject_kind: "cache",
        detail: vec![("tags", "lists".to_owned())],
    };
    let origin = origin();
    let noted = store.note_operation(zoe, operation, &origin, at(1));
    noted.await?;
    let traces = harness.traces().await;
    assert_eq!(traces.audit, ["account.register", "cache.purge"]);
    Ok(())
}

/// At either end a session is over to the microsecond, by the caller's clock.
pub async fn sessions_expire(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let idle_end = at(60);
    assert!(is_live(store, &FIRST, idle_end - TICK).await?);
    assert!(
        !is_live(store, &FIRST, idle_end).await?,
        "idle for too long"
    );
    assert_eq!(store.sessions(zoe, idle_end).await?, []);

    let mut long = new_session(2, at(0));
    long.idle_expires_at = long.expires_at;
    let end = long.expires_at;
    store
        .open_session(zoe, long, None, None, &origin(), at(0))
        .await?;
    assert!(is_live(store, &SECOND, end - TICK).await?);
    assert!(!is_live(store, &SECOND, end).await?, "old");
    assert_eq!(
        store.end_sessions(zoe, &origin(), end).await?,
        0,
        "what is over does not end"
    );
    Ok(())
}

/// A session that is used lives longer, but not beyond its end, and not again once it has ended.
pub async fn use_prolongs_a_session(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let id = new_session(1, at(0)).id;
    store.touch_session(id, at(90), at(30)).await?;
    let session = store.session(&FIRST, at(89)).await?.expect("it was used");
    assert_eq!(
        (session.last_seen_at, session.idle_expires_at),
        (at(30), at(90))
    );
    assert_eq!(session.expires_at, new_session(1, at(0)).expires_at);
    let listed = store.sessions(zoe, at(31)).await?;
    assert_eq!(
        (listed[0].last_seen_at, listed[0].idle_expires_at),
        (at(30), at(90))
    );
    assert!(!is_live(store, &FIRST, at(90)).await?);

    store.touch_session(id, at(100), at(90)).await?;
    assert!(!is_live(store, &FIRST, at(90)).await?, "it was over");
    assert!(store.end_session(zoe, id, &origin(), at(31)).await?);
    store.touch_session(id, at(90), at(32)).await?;
    assert!(!is_live(store, &FIRST, at(33)).await?, "it had ended");
    Ok(())
}

/// A list shows the live sessions of one account, whole.
pub async fn sessions_are_listed_newest_first(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    registered(store, 10, "zac", 9).await?;
    for n in [2, 3, 4] {
        opened(store, zoe, n, at(i64::from(n))).await?;
    }
    assert!(
        store
            .end_session(zoe, new_session(3, at(3)).id, &origin(), at(5))
            .await?
    );
    let listed = store.sessions(zoe, at(5)).await?;
    let ids: Vec<SessionId> = listed.iter().map(|session| session.id).collect();
    assert_eq!(ids, [4, 2, 1].map(|n| new_session(n, at(0)).id));
    let (first, given) = (&listed[0], new_session(4, at(4)));
    assert_eq!(
        (&first.user_agent, first.ip),
        (&given.user_agent, origin().ip)
    );
    assert_eq!((first.created_at, first.last_seen_at), (at(4), at(4)));
    assert_eq!(first.idle_expires_at, given.idle_expires_at);
    assert_eq!(first.expires_at, given.expires_at);
    Ok(())
}

/// Its owner ends a session, once; nobody else does.
pub async fn one_session_ends(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let zac = registered(store, 10, "zac", 2).await?;
    let id = new_session(1, at(0)).id;
    let before = harness.traces().await;
    assert!(!store.end_session(zac, id, &origin(), at(1)).await?);
    assert!(is_live(store, &FIRST, at(1)).await?);
    assert_eq!(harness.traces().await, before);
    assert!(store.end_session(zoe, id, &origin(), at(2)).await?);
    assert!(!is_live(store, &FIRST, at(2)).await?);
    let traces = harness.traces().await.since(&before);
    assert_eq!(traces.tags, [Tag::session(id).as_str()]);
    assert_eq!(traces.events, ["session_ended"]);
    assert_eq!(traces.audit, ["session.end"]);
    assert!(
        !store.end_session(zoe, id, &origin(), at(3)).await?,
        "it has ended"
    );
    assert!(is_live(store, &SECOND, at(3)).await?);
    Ok(())
}

/// All sessions of one account end, and nobody else's.
pub async fn all_sessions_end(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    opened(store, zoe, 2, at(1)).await?;
    registered(store, 10, "zac", 3).await?;
    let before = harness.traces().await;
    assert_eq!(store.end_sessions(zoe, &origin(), at(2)).await?, 2);
    assert_eq!(store.sessions(zoe, at(2)).await?, []);
    assert!(!is_live(store, &FIRST, at(2)).await?);
    assert!(is_live(store, &[3; 32], at(2)).await?);
    let traces = harness.traces().await.since(&before);
    assert!(traces.has_tag(&Tag::session(new_session(1, at(0)).id)));
    assert!(traces.has_tag(&Tag::session(new_session(2, at(0)).id)));
    assert_eq!(traces.events, ["session_ended"]);
    assert_eq!(traces.audit, ["session.end_all"]);
    assert_eq!(store.end_sessions(zoe, &origin(), at(3)).await?, 0);
    Ok(())
}

/// Who signs in again over a session has the new one alone.
pub async fn a_session_replaces_another(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let session = new_session(2, at(1));
    store
        .open_session(zoe, session, Some(FIRST), None, &origin(), at(1))
        .await?;
    assert!(!is_live(store, &FIRST, at(1)).await?);
    assert!(is_live(store, &SECOND, at(1)).await?);
    let nobodys = Some([99; 32]);
    let session = new_session(3, at(2));
    store
        .open_session(zoe, session, nobodys, None, &origin(), at(2))
        .await?;
    assert_eq!(store.sessions(zoe, at(2)).await?.len(), 2);
    Ok(())
}

/// The right old hash: every session ends, one opens. Another: nothing happens.
pub async fn a_password_is_changed_over_the_one_it_was_checked_against(
    harness: impl Harness,
) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    opened(store, zoe, 2, at(1)).await?;
    let before = harness.traces().await;
    let stale = rehash("hash of zac", "new hash");
    let session = new_session(3, at(2));
    let changed = store
        .change_password(zoe, stale, session.clone(), &origin(), at(2))
        .await?;
    assert!(!changed);
    assert_eq!(password(store, zoe).await?, "hash of zoe");
    assert_eq!(store.sessions(zoe, at(2)).await?.len(), 2);
    assert!(!is_live(store, &[3; 32], at(2)).await?);
    assert_eq!(harness.traces().await, before);

    let right = rehash("hash of zoe", "new hash");
    let changed = store
        .change_password(zoe, right, session.clone(), &origin(), at(3))
        .await?;
    assert!(changed);
    assert_eq!(password(store, zoe).await?, "new hash");
    let left = store.sessions(zoe, at(3)).await?;
    assert_eq!(
        left.iter().map(|left| left.id).collect::<Vec<_>>(),
        [session.id]
    );
    assert!(!is_live(store, &FIRST, at(3)).await?);
    assert!(is_live(store, &[3; 32], at(3)).await?);
    let traces = harness.traces().await.since(&before);
    assert!(traces.has_tag(&Tag::session(new_session(1, at(0)).id)));
    assert_eq!(traces.events, ["session_ended"]);
    assert_eq!(traces.audit, ["account.password"]);
    Ok(())
}

/// A session opens on what was proven as long as it holds, and a fresher hash is stored in its place.
pub async fn a_session_opens_on_the_password_that_holds(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    let open = async |n: u8, hash: &str, fresher: Option<&str>| {
        let proof = Proof {
            hash: hash.to_owned().into(),
            fresher: fresher.map(|fresher| fresher.to_owned().into()),
        };
        let (session, origin) = (new_session(n, at(1)), origin());
        store
            .open_session(zoe, session, None, Some(proof), &origin, at(1))
            .await
    };
    assert!(open(2, "hash of zoe", Some("fresher hash")).await?);
    assert_eq!(password(store, zoe).await?, "fresher hash");
    assert!(!open(3, "hash of zoe", Some("yet another")).await?);
    assert_eq!(password(store, zoe).await?, "fresher hash");
    assert!(
        !is_live(store, &[3; 32], at(2)).await?,
        "the password has changed since"
    );
    assert!(open(4, "fresher hash", None).await?);
    harness.lock_user(zoe).await;
    assert!(!open(5, "fresher hash", None).await?, "it was locked since");
    Ok(())
}

/// A lock shows in the credentials and shuts out at once.
pub async fn locked_accounts_have_no_sessions(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = registered(store, 9, "zoe", 1).await?;
    harness.lock_user(zoe).await;
    assert!(!is_live(store, &FIRST, at(1)).await?);
    let found = store.credentials(&new_account(9, "zoe").email).await?;
    assert!(found.expect("she is there").locked);
    Ok(())
}
