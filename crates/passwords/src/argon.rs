//! Argon2id over memory that is kept from one password to the next.

use argon2::password_hash::phc::{self, Output, ParamsString, PasswordHash};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use secrecy::SecretString;

/// Random bytes that make equal passwords hash differently.
pub type Salt = [u8; argon2::RECOMMENDED_SALT_LEN];

/// Most of what a stored hash may ask for, beside what today's parameters ask for: whoever can write
/// one hash into the database shall not be able to stop the origin with it.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 64;
const MAX_PARALLELISM: u32 = 64;

/// Parameters that are none of Argon2's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are no parameters of Argon2")]
pub struct BadParameters(#[source] argon2::Error);

/// What a hash costs today.
#[derive(Debug)]
pub struct Parameters(Params);

impl Default for Parameters {
    /// What new hashes cost unless the origin's configuration says more.
    fn default() -> Self {
        Self::new(Self::MEMORY_KIB, Self::ITERATIONS, Self::PARALLELISM)
            .expect("the parameters are Argon2's")
    }
}

impl Parameters {
    /// The memory that a hash needs, and the least that it may.
    pub const MEMORY_KIB: u32 = 19 * 1024;
    /// How often it goes over the memory, and the least that it may.
    pub const ITERATIONS: u32 = 2;
    /// In how many lanes, and the least.
    pub const PARALLELISM: u32 = 1;

    /// Memory, passes over it, and lanes.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, BadParameters> {
        let length = Some(Params::DEFAULT_OUTPUT_LEN);
        Params::new(memory_kib, iterations, parallelism, length)
            .map(Self)
            .map_err(BadParameters)
    }

    fn allow(&self, stored: &Params) -> bool {
        stored.m_cost() <= self.0.m_cost().max(MAX_MEMORY_KIB)
            && stored.t_cost() <= self.0.t_cost().max(MAX_ITERATIONS)
            && stored.p_cost() <= self.0.p_cost().max(MAX_PARALLELISM)
    }

    /// Whether a hash with these parameters is cheaper to attack than one of today.
    fn exceed(&self, stored: &Stored) -> bool {
        stored.version != Version::V0x13
            || stored.params.m_cost() < self.0.m_cost()
            || stored.params.t_cost() < self.0.t_cost()
            || stored.params.p_cost() < self.0.p_cost()
            || stored.salt.len() < argon2::RECOMMENDED_SALT_LEN
            || stored.output.len() < Params::DEFAULT_OUTPUT_LEN
    }
}

/// A thread's memory for hashing: tens of megabytes, asked of the system once.
#[derive(Debug, Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Room for these parameters. What an odd stored hash needed beyond today's is given back.
    fn of(&mut self, params: &Params, today: &Parameters) -> &mut [Block] {
        let (needed, kept) = (params.block_count(), today.0.block_count());
        if self.0.len() < needed {
            self.0.resize(needed, Block::new());
        } else if self.0.len() > needed.max(kept) {
            self.0.truncate(needed.max(kept));
            self.0.shrink_to_fit();
        }
        &mut self.0
    }

    #[cfg(test)]
    fn blocks(&self) -> usize {
        self.0.len()
    }
}

/// What came of a check.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether the password is the one.
    pub matches: bool,
    /// Whether the stored hash is weaker than one of today.
    pub weaker: bool,
}

/// The hash of `password` with today's parameters, as a PHC string.
pub fn hash(password: &str, salt: Salt, today: &Parameters, memory: &mut Memory) -> SecretString {
    let output = compute(password, &salt, &today.0, Version::V0x13, today, memory)
        .expect("length, salt and parameters are within Argon2's bounds");
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&today.0).expect("three numbers fit"),
        salt: Some(phc::Salt::new(&salt).expect("sixteen bytes fit")),
        hash: Some(output),
    };
    hash.to_string().into()
}

/// Whether `password` is behind `stored`. Without a stored hash, or with one that cannot be read,
/// the answer is no and takes as long as with one of today.
pub fn check(
    password: &str,
    stored: Option<&str>,
    today: &Parameters,
    memory: &mut Memory,
) -> Checked {
    let checked = stored.map(|text| {
        let stored = Stored::read(text, today)?;
        let output = compute(
            password,
            &stored.salt,
            &stored.params,
            stored.version,
            today,
            memory,
        )
        .map_err(|_| Unreadable("out of Argon2's bounds"))?;
        Ok(Checked {
            // In constant time.
            matches: output == stored.output,
            weaker: today.exceed(&stored),
        })
    });
    match checked {
        Some(Ok(checked)) => checked,
        Some(Err(Unreadable(why))) => {
            tracing::error!(why, "the stored hash of a password cannot be read");
            decoy(password, today, memory)
        }
        None => decoy(password, today, memory),
    }
}

/// The work of a check whose answer is no.
fn decoy(password: &str, today: &Parameters, memory: &mut Memory) -> Checked {
    let output = compute(
        password,
        &Salt::default(),
        &today.0,
        Version::V0x13,
        today,
        memory,
    );
    // What is not used might not be computed.
    std::hint::black_box(output.is_ok());
    Checked {
        matches: false,
        weaker: false,
    }
}

fn compute(
    password: &str,
    salt: &[u8],
    params: &Params,
    version: Version,
    today: &Parameters,
    memory: &mut Memory,
) -> Result<Output, argon2::Error> {
    let argon = Argon2::new(Algorithm::Argon2id, version, params.clone());
    let blocks = memory.of(params, today);
    let mut bytes = [0; Output::MAX_LENGTH];
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let bytes = bytes
        .get_mut(..length)
        .ok_or(argon2::Error::OutputTooLong)?;
    argon.hash_password_into_with_memory(password.as_bytes(), salt, bytes, blocks)?;
    Output::new(bytes).map_err(|_| argon2::Error::OutputTooShort)
}

/// Why a stored hash is of no use. It says nothing of the hash itself.
struct Unreadable(&'static str);

/// A stored hash, taken apart.
struct Stored {
    version: Version,
    params: Params,
    salt: phc::Salt,
    output: Output,
}

impl Stored {
    fn read(text: &str, today: &Parameters) -> Result<Self, Unreadable> {
        let hash = PasswordHash::new(text).map_err(|_| Unreadable("not a PHC string"))?;
        if hash.algorithm != ARGON2ID_IDENT {
            return Err(Unreadable("not Argon2id"));
        }
        let params = Params::try_from(&hash).map_err(|_| Unreadable("not Argon2's parameters"))?;
        if !today.allow(&params) {
            return Err(Unreadable("more costly than is allowed"));
        }
        let version = hash.version.unwrap_or_else(|| Version::V0x10.into());
        Ok(Self {
            version: Version::try_from(version).map_err(|_| Unreadable("an unknown version"))?,
            params,
            salt: hash.salt.ok_or(Unreadable("without a salt"))?,
            output: hash.hash.ok_or(Unreadable("without a hash"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    const PASSWORD: &str = "correct horse battery staple";

    #[test]
    fn memory_that_an_odd_hash_needed_is_given_back() {
        let today = Parameters::default();
        let odd = Parameters::new(30_000, 1, 1).expect("parameters");
        let odd = hash(PASSWORD, [7; 16], &odd, &mut Memory::default());
        let mut memory = Memory::default();
        let checked = check(PASSWORD, Some(odd.expose_secret()), &today, &mut memory);
        assert!(checked.matches && checked.weaker);
        assert_eq!(memory.blocks(), 30_000);
        check(PASSWORD, None, &today, &mut memory);
        assert_eq!(memory.blocks(), 19_456);
    }

    #[test]
    fn parameters_that_argon2_does_not_have_are_refused() {
        for (memory_kib, iterations, parallelism) in [(1, 2, 1), (19_456, 0, 1), (19_456, 2, 0)] {
            assert!(Parameters::new(memory_kib, iterations, parallelism).is_err());
        }
    }
}
