//! The `passwords` section.

use std::num::NonZeroUsize;

use pitchey_passwords::Parameters;
use serde::{Deserialize, Serialize};

use super::Rules;

/// What a hash costs an attacker, and how much hashing is done at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordsConfig {
    /// The memory that a hash needs.
    pub memory_kib: u32,
    /// How often it goes over the memory.
    pub iterations: u32,
    /// In how many lanes, which an attacker may compute in parallel. Here they are computed one
    /// after the other.
    pub parallelism: u32,
    /// Hashes computed at once, each with its memory: half the processors unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Hashes that may wait for a thread; further ones are refused.
    pub queue: usize,
    /// How long they may wait.
    pub max_wait_ms: u64,
}

impl Default for PasswordsConfig {
    fn default() -> Self {
        Self {
            memory_kib: Parameters::MEMORY_KIB,
            iterations: Parameters::ITERATIONS,
            parallelism: Parameters::PARALLELISM,
            threads: None,
            queue: 64,
            max_wait_ms: 4_000,
        }
    }
}

impl PasswordsConfig {
    /// Hashes computed at once.
    pub fn threads(&self) -> usize {
        let half = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get) / 2;
        self.threads.unwrap_or_else(half).max(1)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let mut rules = Rules::of("passwords", problems);
        let mut range = |key, value, min, max| rules.range(key, value, min, max);
        // The floor is OWASP's; what is weaker is no choice.
        let (memory, passes) = (Parameters::MEMORY_KIB, Parameters::ITERATIONS);
        range(
            "memory_kib",
            self.memory_kib.into(),
            memory.into(),
            1024 * 1024,
        );
        range("iterations", self.iterations.into(), passes.into(), 64);
        range("parallelism", self.parallelism.into(), 1, 64);
        if let Some(threads) = self.threads {
            range("threads", threads as u64, 1, 256);
        }
        range("queue", self.queue as u64, 1, 10_000);
        range("max_wait_ms", self.max_wait_ms, 1, 60_000);
    }
}
