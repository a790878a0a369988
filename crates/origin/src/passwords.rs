//! Passwords: hashed with Argon2id on threads of their own, which take the processor only when
//! nothing else wants it, behind a bounded queue.
//!
//! A flood of logins is the cheapest attack on a site that hashes well. Here it fills the queue, and
//! those who come then are told at once to come back later; reads go on as before.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pitchey_api::ports::{Boxed, Busy, Passwords, TooWeak, Verified};
use pitchey_passwords::{Parameters, Salt};
use pitchey_runtime::{Clock, Random, Timer};
use secrecy::{ExposeSecret, SecretString};

use crate::config::PasswordsConfig;

mod pool;

use pool::{Pool, PoolLimits};

/// The port over a pool of threads. Dropping it ends them.
pub struct Argon2Passwords<R> {
    pool: Pool<R>,
    parameters: Arc<Parameters>,
    random: R,
}

impl<R: Clock + Timer + Random + Clone + Send + Sync + 'static> Argon2Passwords<R> {
    /// Starts the threads. An error means that the operating system gives none, or that the
    /// parameters are none of Argon2's, which `PasswordsConfig::validate` rules out.
    pub fn start(config: &PasswordsConfig, runtime: R) -> io::Result<Self> {
        let parameters = Parameters::new(config.memory_kib, config.iterations, config.parallelism)
            .map_err(io::Error::other)?;
        let limits = PoolLimits {
            threads: config.threads(),
            queue: config.queue,
            max_wait: Duration::from_millis(config.max_wait_ms),
        };
        Ok(Self {
            pool: Pool::start(limits, runtime.clone())?,
            parameters: Arc::new(parameters),
            random: runtime,
        })
    }

    fn salt(&self) -> Salt {
        let mut salt = Salt::default();
        self.random.fill(&mut salt);
        salt
    }
}

impl<R: Clock + Timer + Random + Clone + Send + Sync + 'static> Passwords for Argon2Passwords<R> {
    fn hash(
        &self,
        password: SecretString,
        about: Vec<String>,
    ) -> Boxed<'_, Result<Result<SecretString, TooWeak>, Busy>> {
        let (parameters, salt) = (self.parameters.clone(), self.salt());
        Box::pin(self.pool.run("hash", move |memory| {
            let password = password.expose_secret();
            if pitchey_passwords::is_too_weak(password, &about) {
                return Err(TooWeak);
            }
            Ok(pitchey_passwords::hash(password, salt, &parameters, memory))
        }))
    }

    fn verify(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
    ) -> Boxed<'_, Result<Verified, Busy>> {
        let (parameters, salt) = (self.parameters.clone(), self.salt());
        Box::pin(self.pool.run("verify", move |memory| {
            let password = password.expose_secret();
            let stored = hash.as_ref().map(ExposeSecret::expose_secret);
            let checked = pitchey_passwords::check(password, stored, &parameters, memory);
            let rehash = (checked.matches && checked.weaker)
                .then(|| pitchey_passwords::hash(password, salt, &parameters, memory));
            Verified {
                matches: checked.matches,
                rehash,
            }
        }))
    }
}

#[cfg(test)]
mod tests;
