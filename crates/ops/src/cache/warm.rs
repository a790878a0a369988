//! `pitchey cache warm`: what will be asked for is loaded before.

use super::answer::Refused;
use super::origin::{Admin, Client, Door};
use crate::output::Output;
use crate::password;
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use std::io::{BufRead, Read as _};
use std::ops::AddAssign;
use std::process::ExitCode;

/// How many addresses one call may name: an hour's work for an origin.
const MAX_ADDRESSES: usize = 100_000;

/// The longest address, in characters, as the API takes it.
const MAX_ADDRESS: usize = 1000;

/// How much of standard input is read at most, in bytes.
const MAX_INPUT: usize = 16 << 20;

/// How many addresses one request may name.
const MAX_BATCH: usize = 1000;

/// How long the addresses of one request may be together, as JSON: an origin takes bodies of 64 KiB unless
/// it is told otherwise.
const MAX_BATCH_BYTES: usize = 48 << 10;

/// How often an origin is asked for the same addresses, as not all were begun in the time of a request.
const MAX_ROUNDS: usize = 10;

/// What is to be loaded.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WarmOptions {
    #[command(flatten)]
    door: Door,
    /// Addresses of public reads, as `/api/pitches/trending?limit=20`; `-` reads them from standard input, one on
    /// each line. The password comes before them there, unless that is a terminal.
    #[arg(required = true, value_name = "ADDRESS", value_parser = address)]
    addresses: Vec<String>,
}

/// An address, or that they are on standard input. Whether answers at it are kept is for the origin to say.
fn address(text: &str) -> Result<String, String> {
    let is_path = text == "-" || text.starts_with('/');
    let fits = text.chars().count() <= MAX_ADDRESS && !text.chars().any(char::is_control);
    if is_path && fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be the path and query of a public read, at most {MAX_ADDRESS} characters"
        ))
    }
}

/// What came of it: as the origin tells it of one request, or of all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Warmed {
    warm: u64,
    not_warm: u64,
    left_out: u64,
}

impl AddAssign for Warmed {
    fn add_assign(&mut self, other: Self) {
        self.warm += other.warm;
        self.not_warm += other.not_warm;
        self.left_out += other.left_out;
    }
}

impl Warmed {
    fn text(self) -> String {
        let Self {
            warm,
            not_warm,
            left_out,
        } = self;
        format!("{warm} warm, {not_warm} not warm, {left_out} left out\n")
    }

    fn is_all_warm(self) -> bool {
        self.not_warm == 0 && self.left_out == 0
    }
}

pub(crate) async fn warm(
    options: WarmOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let Door { origin, email } = &options.door;
    let client = Client::reach(origin).await?;
    let password = password::read()?;
    let mut addresses = options.addresses;
    if addresses.iter().any(|address| address == "-") {
        addresses.retain(|address| address != "-");
        addresses.extend(read_addresses(std::io::stdin().lock())?);
    }
    let batches = batches(addresses)?;
    client
        .as_admin(email, password, async |admin| {
            let mut all = Warmed::default();
            for batch in &batches {
                all += warm_batch(admin, batch).await?;
            }
            output.show(&all, || all.text())?;
            Ok(if all.is_all_warm() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        })
        .await
}

/// Has one batch loaded. The origin tells how many were left out and not which, so all are named again: those
/// that are fresh it leaves alone.
async fn warm_batch(admin: &Admin<'_>, batch: &[String]) -> anyhow::Result<Warmed> {
    let body = json!({ "addresses": batch });
    let mut warmed = Warmed::default();
    for _ in 0..MAX_ROUNDS {
        let round = admin.post("/api/cache/warm", &body).await;
        warmed = round.map_err(|error| with_addresses(error, batch))?;
        if warmed.left_out == 0 {
            break;
        }
    }
    Ok(warmed)
}

/// Says which addresses an origin does not take, in place of their numbers.
fn with_addresses(error: anyhow::Error, batch: &[String]) -> anyhow::Error {
    match error.downcast::<Refused>() {
        Ok(mut refused) => {
            for error in &mut refused.errors {
                let n = error.pointer.strip_prefix("/addresses/");
                let n = n.and_then(|n| n.parse::<usize>().ok());
                if let Some(address) = n.and_then(|n| batch.get(n)) {
                    error.pointer.clone_from(address);
                }
            }
            refused.into()
        }
        Err(error) => error,
    }
}

/// The addresses on the lines of a text; empty ones are none.
fn read_addresses(input: impl BufRead) -> anyhow::Result<Vec<String>> {
    let mut text = Vec::new();
    let most = MAX_INPUT as u64 + 1;
    let read = input.take(most).read_to_end(&mut text);
    read.context("cannot read addresses from standard input")?;
    ensure!(
        text.len() <= MAX_INPUT,
        "more than {} MiB of addresses",
        MAX_INPUT >> 20
    );
    let text = String::from_utf8(text).context("the addresses are not text in UTF-8")?;
    let mut addresses = Vec::new();
    for (line, n) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let address = address(line).and_then(|address| match address.as_str() {
            "-" => Err("is no address".to_owned()),
            _ => Ok(address),
        });
        addresses.push(address.map_err(|problem| anyhow::anyhow!("line {n}: {problem}"))?);
    }
    Ok(addresses)
}

/// The addresses in order, each once, in requests that an origin takes. One that came twice would be loaded by
/// one and so not be warm for the other.
fn batches(addresses: Vec<String>) -> anyhow::Result<Vec<Vec<String>>> {
    let mut seen = HashSet::new();
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for address in addresses {
        if !seen.insert(address.clone()) {
            continue;
        }
        // With the comma behind it.
        let length = serde_json::to_string(&address)?.len() + 1;
        if batch.len() == MAX_BATCH || bytes + length > MAX_BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += length;
        batch.push(address);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    let many = format!(
        "more than {} addresses",
        crate::figures::grouped(MAX_ADDRESSES as u64)
    );
    ensure!(seen.len() <= MAX_ADDRESSES, many);
    ensure!(!seen.is_empty(), "no addresses on standard input");
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        read_addresses(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_stands_on_each_line_that_is_not_empty() {
        let expected = ["/api/pitches/new", "/api/search?q=film"].map(str::to_owned);
        let text = "/api/pitches/new\r\n\n  /api/search?q=film";
        assert_eq!(read(text), Ok(expected.to_vec()));
    }

    #[test]
    fn a_line_that_is_no_address_is_named() {
        let refused = |text: &str| read(text).expect_err("no address");
        assert!(refused("/api/pitches\n\nhttps://x/\n").starts_with("line 3: must be the path"));
        assert_eq!(refused("-"), "line 1: is no address");
        let long = format!("/{}", "x".repeat(MAX_ADDRESS));
        assert!(refused(&long).starts_with("line 1: must be"), "too long");
        let much = "\n".repeat(MAX_INPUT + 1);
        assert_eq!(refused(&much), "more than 16 MiB of addresses");
        assert!(read(&much[1..]).is_ok());
    }

    #[test]
    fn no_addresses_and_too_many_are_refused() {
        let refused = |addresses| batches(addresses).map_err(|error| error.to_string());
        let none = "no addresses on standard input".to_owned();
        assert_eq!(refused(Vec::new()), Err(none));
        let numbers = |count| (0..count).map(|n| format!("/{n}")).collect();
        let many = "more than 100,000 addresses".to_owned();
        assert_eq!(refused(numbers(MAX_ADDRESSES + 1)), Err(many));
        let most = refused(numbers(MAX_ADDRESSES)).expect("as many as may be");
        assert_eq!((most.len(), most[0].len()), (100, MAX_BATCH));
    }

    #[test]
    fn an_address_that_is_refused_is_named() {
        let refused = serde_json::from_value::<Refused>(json!({
            "type": "/problems/invalid-content", "title": "Invalid content", "status": 422, "detail": "see errors",
            "errors": [{"pointer": "/addresses/1", "detail": "no"}, {"pointer": "/addresses", "detail": "x"}],
        }));
        let refused = refused.expect("a problem");
        let batch = ["/api/pitches", "/api/me"].map(str::to_owned);
        let shown = with_addresses(refused.into(), &batch).to_string();
        let expected = "Invalid content (422): see errors\n  /api/me: no\n  /addresses: x";
        assert_eq!(shown, expected);
    }

    #[test]
    fn all_is_warm_if_nothing_is_not_and_nothing_was_left_out() {
        let mut all = Warmed {
            warm: 2,
            ..Warmed::default()
        };
        assert!(all.is_all_warm());
        all += Warmed {
            warm: 1,
            not_warm: 3,
            left_out: 0,
        };
        assert_eq!(all.text(), "3 warm, 3 not warm, 0 left out\n");
        assert!(!all.is_all_warm());
        let left_out = Warmed {
            left_out: 1,
            ..Warmed::default()
        };
        assert!(!left_out.is_all_warm());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn batches_are_all_addresses_once_and_fit_into_a_request(
            // A quotation mark is longer in JSON than it is.
            shapes in prop::collection::vec((0..900_usize, prop::sample::select(vec!["a", "\"", "é"])), 1..80)
        ) {
            let addresses: Vec<String> =
                shapes.iter().map(|(length, text)| format!("/{}", text.repeat(*length))).collect();
            let mut once = addresses.clone();
            let mut seen = HashSet::new();
            once.retain(|address| seen.insert(address.clone()));
            let batches = batches(addresses).expect("some");
            for batch in &batches {
                prop_assert!(!batch.is_empty() && batch.len() <= MAX_BATCH);
                let body = json!({ "addresses": batch }).to_string();
                prop_assert!(body.len() <= MAX_BATCH_BYTES + 20, "{}", body.len());
            }
            prop_assert_eq!(batches.concat(), once);
        }
    }
}
