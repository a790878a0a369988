//! What is asked, what the origin answers to it, and whether the others answer the same.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

#[path = "../../tests/it/client.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod client;

use client::Client;

/// What browsers of today take, as far as we have it.
pub(crate) const ACCEPTED: &str = "gzip, br";

const TRENDING: &str = "/api/pitches/trending";

/// How many draws the load takes from the distribution before it begins again.
const DRAWS: usize = 20_000;

/// Header fields that belong to one answer or to the connection, and so differ or are made by hyper itself.
const OWN: [&str; 2] = ["date", "connection"];

/// What stands before the seal of a cursor.
const CURSOR: &[u8] = br#""next_cursor":""#;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One pitch, again and again.
    One,
    /// Many pitches, the n-th most popular with a share of 1/n (Zipf).
    Many,
    /// The list of the front page.
    Trending,
}

/// An answer as it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The answers to one address: to those who take no coding, and to those who do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) target: String,
    pub(crate) answers: [Sent; 2],
}

/// What the origin answers to everything that is asked: the pitches, the most popular first, then the list.
#[derive(Debug)]
pub(crate) struct Answers(Vec<Recorded>);

/// Reads what [`Answers::write`] wrote.
pub(crate) fn read(file: &Path) -> Result<Vec<Recorded>> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

impl Answers {
    /// Asks the origin for so many pitches, and for the list.
    pub(crate) async fn record(origin: SocketAddr, pitches: usize) -> Result<Self> {
        let client = Client::new(origin);
        let mut targets = Vec::new();
        let mut next = Some("/api/pitches?limit=100&fields=id".to_owned());
        while targets.len() < pitches
            && let Some(page) = next
        {
            let list = client.get(&page, &[]).await?.expect(200)?.json();
            let items = list["items"].as_array().context("a list has items")?;
            let ids = items.iter().filter_map(|item| item["id"].as_str());
            targets.extend(ids.map(|id| format!("/api/pitches/{id}")));
            let cursor = list["next_cursor"].as_str();
            next = cursor.map(|cursor| format!("/api/pitches?limit=100&fields=id&cursor={cursor}"));
        }
        ensure!(targets.len() >= pitches, "{} pitches only", targets.len());
        targets.truncate(pitches);
        targets.push(TRENDING.to_owned());
        let mut all = Vec::new();
        for target in targets {
            let answers = [
                ask(&client, &target, false).await?,
                ask(&client, &target, true).await?,
            ];
            all.push(Recorded { target, answers });
        }
        // The most popular is one that is large enough to be coded: otherwise both kinds of request for it would
        // be the same.
        let mut pitches = all[..pitches].iter();
        let coded = pitches.position(|one| one.answers[1].field("content-encoding").is_some());
        all.swap(0, coded.context("no pitch is large enough to be coded")?);
        Ok(Self(all))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_vec(&self.0)?)?)
    }

    /// The address of the most popular pitch.
    pub(crate) fn hot(&self) -> &str {
        &self.0[0].target
    }

    fn pitches(&self) -> &[Recorded] {
        &self.0[..self.0.len() - 1]
    }

    /// The addresses in the order in which they are asked, without the end.
    pub(crate) fn targets(&self, asked: Asked) -> Vec<&str> {
        match asked {
            Asked::One => vec![self.hot()],
            Asked::Trending => vec![TRENDING],
            Asked::Many => zipf(self.pitches().len(), DRAWS)
                .into_iter()
                .map(|rank| self.0[rank].target.as_str())
                .collect(),
        }
    }

    /// The mean size of a body, in bytes as sent.
    pub(crate) fn mean_size(&self, asked: Asked, coded: bool) -> usize {
        let targets = self.targets(asked);
        let size = |target: &&str| {
            let found = self.0.iter().find(|one| one.target == **target);
            found.map_or(0, |one| one.answers[usize::from(coded)].body.len())
        };
        targets.iter().map(size).sum::<usize>() / targets.len()
    }

    /// Asks a server for everything, which warms its caches, and holds its answers against the origin's: the
    /// content is the same, and if `exactly`, the bytes and the sizes of the fields are.
    pub(crate) async fn compare(&self, server: SocketAddr, exactly: bool) -> Result<()> {
        let client = Client::new(server);
        for one in &self.0 {
            for (expected, coded) in one.answers.iter().zip([false, true]) {
                let sent = ask(&client, &one.target, coded).await?;
                let place = || format!("{}, coded: {coded}", one.target);
                let same = if exactly {
                    sent.body == expected.body && sent.header_bytes() == expected.header_bytes()
                } else {
                    sent.content()? == expected.content()?
                        && sent.field("content-encoding") == expected.field("content-encoding")
                        && sent.field("etag").is_some()
                };
                ensure!(same, "not the origin's answer: {}", place());
            }
        }
        Ok(())
    }
}

impl Sent {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let (_, value) = fields.find(|(known, _)| known == name)?;
        Some(value)
    }

    fn header_bytes(&self) -> usize {
        let sizes = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        sizes.sum()
    }

    /// The body without its coding, with every seal of a cursor as if it were the same.
    fn content(&self) -> Result<Vec<u8>> {
        let mut content = match self.field("content-encoding") {
            None => self.body.clone(),
            Some("br") => {
                let mut content = Vec::new();
                brotli::Decompressor::new(self.body.as_slice(), 4096).read_to_end(&mut content)?;
                content
            }
            Some(other) => anyhow::bail!("{other}, where Brotli was to be had"),
        };
        let place = content
            .windows(CURSOR.len())
            .position(|part| part == CURSOR);
        if let Some(place) = place {
            let seal = content[place + CURSOR.len()..].iter_mut();
            seal.take_while(|byte| **byte != b'"')
                .for_each(|byte| *byte = b'.');
        }
        Ok(content)
    }
}

async fn ask(client: &Client, target: &str, coded: bool) -> Result<Sent> {
    let accepted = [("accept-encoding", ACCEPTED)];
    let answer = client
        .get(target, if coded { &accepted } else { &[] })
        .await?
        .expect(200)?;
    let fields = answer.headers.iter();
    let fields = fields.filter(|(name, _)| !OWN.contains(&name.as_str()));
    let headers: Result<Vec<_>> = fields
        .map(|(name, value)| Ok((name.as_str().to_owned(), value.to_str()?.to_owned())))
        .collect();
    Ok(Sent {
        headers: headers?,
        body: answer.body,
    })
}

/// Ranks below `count`, each as often as its share 1/(rank + 1) of all says, well mixed.
///
/// The draws are spread evenly over the distribution instead of at random: step by the golden ratio.
fn zipf(count: usize, draws: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    (0..draws)
        .map(|draw| {
            let place = (draw as f64 * golden).fract() * sum;
            sums.partition_point(|end| *end < place).min(count - 1)
        })
        .collect()
}
