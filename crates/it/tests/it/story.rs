//! The whole marketplace through HTTP alone, over a real database.

use crate::client::{Client, Person};
use crate::origin::Origin;
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_testkit::TestDb;
use serde_json::{Value, json};

/// What somebody was told, newest first.
async fn told(client: &Client, person: &Person) -> Result<Vec<Value>> {
    let list = client
        .read(person, "/api/notifications")
        .await?
        .expect(200)?;
    let items = list.json()["items"].as_array().cloned();
    let kinds = items.context("no items")?;
    Ok(kinds.iter().map(|item| item["kind"].clone()).collect())
}

/// A change that begins from the version that is read just before.
async fn step(client: &Client, person: &Person, thing: &str, action: &str) -> Result<Value> {
    let read = client.read(person, thing).await?.expect(200)?;
    let headers = [("if-match", read.header("etag"))];
    let thing = thing.trim_end_matches("/full");
    let target = format!("{thing}/{action}");
    let answer = client
        .ask(person, Method::POST, &target, &headers, Some(&json!({})))
        .await?;
    Ok(answer.expect(200)?.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_finds_its_money() -> Result<()> {
    let database = TestDb::new().await;
    let origin = Origin::start(database.url()).await?;
    let client = origin.client.clone();

    let creator = client.register("carla", "creator").await?;
    let investor = client.register("ivan", "investor").await?;
    client
        .ask(
            &investor,
            Method::PUT,
            "/api/users/carla/followed",
            &[],
            None,
        )
        .await?
        .expect(204)?;

    let content = json!({
        "title": "The Lighthouse at Noon", "format": "feature", "stage": "script", "genres": ["mystery"],
        "logline": "Nobody needs a lighthouse at noon.", "visibility": "nda",
        "full_synopsis": "The keeper never left.", "budget": {"amount": 420_000_000, "currency": "EUR"},
    });
    let made = client
        .post(&creator, "/api/pitches", &content)
        .await?
        .expect(201)?;
    let pitch = made.header("location").to_owned();
    let full = format!("{pitch}/full");
    assert_eq!(
        client.get(&pitch, &[]).await?.summary(),
        "404 not-found",
        "a draft"
    );
    step(&client, &creator, &full, "publish").await?;

    // The investor hears of it, finds it by a word, and looks at it.
    assert_eq!(told(&client, &investor).await?, ["pitch_published"]);
    let found = client
        .get("/api/search?q=lighthouse", &[])
        .await?
        .expect(200)?
        .json();
    let id = found["items"][0]["id"].as_str().context("nothing found")?;
    assert_eq!(pitch, format!("/api/pitches/{id}"));
    let text = String::from_utf8_lossy(&client.get(&pitch, &[]).await?.body).into_owned();
    assert!(
        !text.contains("keeper") && !text.contains("4200000"),
        "the public part alone"
    );
    assert_eq!(
        client.read(&investor, &full).await?.summary(),
        "403 forbidden"
    );
    assert_eq!(
        client.get(&full, &[]).await?.summary(),
        "401 sign-in-required"
    );

    let request = json!({"message": "We met in Trieste."});
    let asked = client
        .post(&investor, &format!("{pitch}/ndas"), &request)
        .await?
        .expect(201)?;
    let nda = asked.header("location").to_owned();
    assert_eq!(
        client.read(&investor, &full).await?.summary(),
        "403 forbidden"
    );
    assert_eq!(
        told(&client, &creator).await?,
        ["nda_requested", "followed"]
    );
    assert_eq!(
        step(&client, &creator, &nda, "approve").await?["status"],
        "approved"
    );
    let read = client.read(&investor, &full).await?.expect(200)?.json();
    assert_eq!(read["full_synopsis"], "The keeper never left.");
    assert_eq!(read["budget"]["amount"], 420_000_000);

    let offer =
        json!({"amount": {"amount": 5_000_000, "currency": "EUR"}, "message": "Count me in."});
    let expressed = client
        .post(&investor, &format!("{pitch}/interests"), &offer)
        .await?
        .expect(201)?;
    let interest = expressed.header("location").to_owned();
    assert_eq!(
        step(&client, &creator, &interest, "accept").await?["status"],
        "accepted"
    );

    assert_eq!(
        told(&client, &investor).await?,
        ["interest_accepted", "nda_approved", "pitch_published"]
    );
    assert_eq!(
        told(&client, &creator).await?,
        ["interest_expressed", "nda_requested", "followed"]
    );
    let figures = client
        .read(&creator, "/api/dashboard/creator")
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        (&figures["published"], &figures["followers"]),
        (&json!(1), &json!(1))
    );
    let figures = client
        .read(&investor, "/api/dashboard/investor")
        .await?
        .expect(200)?
        .json();
    assert_eq!(figures["interests_accepted"], 1);

    step(&client, &creator, &nda, "revoke").await?;
    assert_eq!(
        client.read(&investor, &full).await?.summary(),
        "403 forbidden",
        "at once"
    );
    assert_eq!(told(&client, &investor).await?[0], "nda_revoked");
    step(&client, &creator, &full, "archive").await?;
    assert_eq!(
        client.read(&investor, &full).await?.summary(),
        "404 not-found"
    );
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_editors_with_one_etag_exactly_one_wins() -> Result<()> {
    let database = TestDb::new().await;
    let origin = Origin::start(database.url()).await?;
    let client = origin.client.clone();
    let creator = client.register("carla", "creator").await?;
    let content = json!({"title": "Draft", "format": "short"});
    let made = client
        .post(&creator, "/api/pitches", &content)
        .await?
        .expect(201)?;
    let (pitch, mut tag) = (
        made.header("location").to_owned(),
        made.header("etag").to_owned(),
    );
    for round in 0..10 {
        let edit = async |title: String| {
            let body = json!({"title": title});
            let headers = [("if-match", tag.as_str())];
            client
                .ask(&creator, Method::PATCH, &pitch, &headers, Some(&body))
                .await
        };
        let (one, two) = tokio::join!(edit(format!("One {round}")), edit(format!("Two {round}")));
        let (one, two) = (one?, two?);
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}");
        let winner = if one.status == 200 { &one } else { &two };
        let now = client
            .read(&creator, &format!("{pitch}/full"))
            .await?
            .expect(200)?;
        assert_eq!(now.json()["title"], winner.json()["title"]);
        tag = now.header("etag").to_owned();
        assert_eq!(tag, winner.header("etag"));
    }
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_posts_at_once_with_one_key_make_one_pitch() -> Result<()> {
    let database = TestDb::new().await;
    let limits = [("PITCHEY_LIMITS__WRITE", "off")];
    let origin = Origin::start_with(database.url(), &limits).await?;
    let client = origin.client.clone();
    let creator = client.register("carla", "creator").await?;
    let content = json!({"title": "Once", "format": "short"});
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, creator, content) = (client.clone(), creator.clone(), content.clone());
        posts.spawn(async move {
            let headers = [("idempotency-key", "the-one")];
            client
                .ask(
                    &creator,
                    Method::POST,
                    "/api/pitches",
                    &headers,
                    Some(&content),
                )
                .await
        });
    }
    let mut bodies = std::collections::BTreeSet::new();
    let (mut made, mut in_flight) = (0, 0);
    while let Some(answer) = posts.join_next().await {
        let answer = answer??;
        match answer.summary().as_str() {
            "201 -" => {
                made += 1;
                bodies.insert(answer.body);
            }
            "409 idempotency-key-in-flight" => in_flight += 1,
            other => anyhow::bail!("{other}"),
        }
    }
    eprintln!("{made} answered with the pitch, {in_flight} in flight");
    assert_eq!((bodies.len(), made + in_flight), (1, 50));
    let own = client
        .read(&creator, "/api/me/pitches")
        .await?
        .expect(200)?
        .json();
    assert_eq!(own["items"].as_array().map(Vec::len), Some(1));
    origin.stop().await
}
