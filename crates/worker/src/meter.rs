//! What the module tells of itself: `GET /api/wasm/metrics`.
//!
//! The clock stands still while the module works, on Workers by intention: so times are those of whole requests,
//! waits included, and functions that never wait are counted alone.

use std::cell::Cell;
use std::time::Duration;

use http::{Response, StatusCode};
use pitchey_edge::desk;
use pitchey_edge::{Body, health::rfc3339};
use serde_json::json;
use time::OffsetDateTime;

use crate::platform::Workers;

/// Where it is asked for.
pub(crate) const METRICS: &str = "/api/wasm/metrics";

const PAGE_BYTES: usize = 64 * 1024;

/// What was called so often, over so many bytes.
#[derive(Default)]
pub(crate) struct Calls {
    count: Cell<u64>,
    bytes: Cell<u64>,
    refused: Cell<u64>,
}

impl Calls {
    const fn new() -> Self {
        Self {
            count: Cell::new(0),
            bytes: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// One more, over so many bytes, with an outcome.
    pub(crate) fn called(&self, bytes: usize, is_good: bool) {
        self.count.set(self.count.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.refused.set(self.refused.get() + u64::from(!is_good));
    }

    fn told(&self) -> serde_json::Value {
        json!({ "calls": self.count.get(), "bytes": self.bytes.get(), "refused": self.refused.get() })
    }
}

/// All of it.
pub(crate) struct Meter {
    /// Requests whose address and fields were read and looked at.
    pub(crate) validate: Calls,
    /// Signatures of operators that were hashed anew to compare them.
    pub(crate) sign: Calls,
    /// Tickets for rooms that were.
    pub(crate) ticket: Calls,
    answers: Cell<u64>,
    ms: Cell<u64>,
}

thread_local! {
    pub(crate) static METER: Meter = const {
        Meter {
            validate: Calls::new(),
            sign: Calls::new(),
            ticket: Calls::new(),
            answers: Cell::new(0),
            ms: Cell::new(0),
        }
    };
}

/// An answer was given, after so long.
pub(crate) fn answered(took: Duration) {
    METER.with(|meter| {
        meter.answers.set(meter.answers.get() + 1);
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        meter.ms.set(meter.ms.get().saturating_add(took));
    });
}

/// What is told: of this isolate, since the module began in it.
pub(crate) fn told(began: OffsetDateTime, life: u32) -> Response<Body<Workers>> {
    let memory = core::arch::wasm32::memory_size::<0>() * PAGE_BYTES;
    let told = METER.with(|meter| {
        json!({
            "module": {
                "version": env!("CARGO_PKG_VERSION"),
                "began": rfc3339(began),
                "failures": life,
                "memory_bytes": memory,
            },
            "answers": { "calls": meter.answers.get(), "ms": meter.ms.get() },
            "functions": {
                "validate": meter.validate.told(),
                "hash.signature": meter.sign.told(),
                "hash.ticket": meter.ticket.told(),
            },
        })
    });
    desk::answer(StatusCode::OK, &told)
}
