//! How many requests memory answers, beside moka and a plain LRU of the same size; and whether warming
//! what is predicted pays.
//!
//! `cargo xtask bench hit_ratio`; figures go to `target/bench/hit_ratio.json` as well. The published traces
//! P2 and P12 are replayed if `PITCHEY_TRACES` names the folder that they are in. They are from N. Megiddo,
//! D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", USENIX FAST 03, pp. 115–130, 2003.

mod engine;
mod warming;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::{env, fs};

use pitchey_cache::trace::{Act, Trace, TraceConfig};
use serde_json::{Value, json};

/// A cache may hold these shares of what a trace asks for, in permille.
const SIZES: [usize; 3] = [10, 50, 200];

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it is there.
    if env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let days = TraceConfig::default();
    let mut results = vec![
        compare("Zipf 0.9 with scans", &generated(0.9), None),
        compare("Zipf 1.0 with scans", &generated(1.0), None),
        compare("replayed days", &requests(days), None),
    ];
    match env::var_os("PITCHEY_TRACES") {
        Some(folder) => {
            for name in ["P2", "P12"] {
                let path = PathBuf::from(&folder).join(format!("{name}.lis.zst"));
                results.push(compare(name, &published(&path), Some(ARC)));
            }
        }
        None => {
            println!("\nSKIPPED: P2 and P12, since PITCHEY_TRACES does not name their folder.\n");
        }
    }
    let warming = warming::compare();
    let folder = env::var_os("PITCHEY_BENCH_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench"),
        PathBuf::from,
    );
    fs::create_dir_all(&folder).expect("a folder for the figures");
    let figures = json!({ "hit_ratio": results, "warming": warming });
    let text = serde_json::to_string_pretty(&figures).expect("figures are JSON");
    fs::write(folder.join("hit_ratio.json"), text).expect("the figures can be written");
}

const ARC: &str = "N. Megiddo, D. S. Modha, \"ARC: A Self-Tuning, Low Overhead Replacement Cache\", USENIX FAST 03, pp. 115–130, 2003";

/// Popularity that stands still, and crawlers.
fn generated(zipf: f64) -> Vec<u64> {
    requests(TraceConfig {
        days: 1,
        requests: 500_000,
        zipf,
        drift_percent: 0,
        new: 0,
        ..TraceConfig::default()
    })
}

fn requests(config: TraceConfig) -> Vec<u64> {
    let key = |act| match act {
        Act::Pitch(pitch) => Some(u64::from(pitch)),
        Act::List(page) => Some(1 << 32 | u64::from(page)),
        Act::Edit(_) => None,
    };
    Trace::new(config)
        .filter_map(|request| key(request.act))
        .collect()
}

/// A line: first block, number of blocks, ignored, sequence number.
fn published(path: &Path) -> Vec<u64> {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = zstd::Decoder::new(file).expect("it is compressed with zstd");
    let mut keys = Vec::new();
    for line in BufReader::new(lines).lines() {
        let line = line.expect("lines of text");
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(blocks))) = (numbers.next(), numbers.next()) else {
            panic!("not a line of a trace: {line}");
        };
        keys.extend(first..first + blocks);
    }
    keys
}

fn compare(name: &str, keys: &[u64], source: Option<&str>) -> Value {
    let distinct = keys.iter().collect::<HashSet<_>>().len();
    println!("\n{name}: {} requests for {distinct} keys", keys.len());
    if let Some(source) = source {
        println!("  (trace: {source})");
    }
    println!(
        "{:>10} {:>12} {:>12} {:>12}",
        "entries", "memory tier", "moka", "LRU"
    );
    let rows: Vec<Value> = SIZES
        .iter()
        .map(|permille| {
            let entries = (distinct * permille / 1000).max(10);
            let ratios = [
                engine::replay(keys, entries),
                moka(keys, entries),
                lru(keys, entries),
            ];
            let [tier, moka, lru] = ratios.map(|hits| hits as f64 * 100.0 / keys.len() as f64);
            println!("{entries:>10} {tier:>10.2} % {moka:>10.2} % {lru:>10.2} %");
            json!({ "entries": entries, "memory_tier": tier, "moka": moka, "lru": lru })
        })
        .collect();
    json!({
        "trace": name,
        "cite": source,
        "requests": keys.len(),
        "keys": distinct,
        "percent": rows,
    })
}

fn moka(keys: &[u64], entries: usize) -> u64 {
    let cache = moka::sync::Cache::new(entries as u64);
    let mut hits = 0;
    for key in keys {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.insert(*key, ());
        }
    }
    hits
}

fn lru(keys: &[u64], entries: usize) -> u64 {
    let entries = NonZeroUsize::new(entries).expect("more than none");
    let mut cache = lru::LruCache::new(entries);
    let mut hits = 0;
    for key in keys {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.put(*key, ());
        }
    }
    hits
}
