use pitchey_runtime::ManualRuntime;

use super::*;

const PASSWORD: &str = "correct horse battery staple";

fn config() -> PasswordsConfig {
    PasswordsConfig {
        threads: Some(1),
        ..PasswordsConfig::default()
    }
}

fn passwords(config: &PasswordsConfig) -> Argon2Passwords<ManualRuntime> {
    Argon2Passwords::start(config, ManualRuntime::new(1)).expect("threads")
}

async fn hashed(passwords: &impl Passwords) -> SecretString {
    let hashed = passwords.hash(PASSWORD.into(), Vec::new()).await;
    hashed.expect("not busy").expect("strong")
}

async fn verified(
    passwords: &impl Passwords,
    password: &str,
    hash: Option<&SecretString>,
) -> Verified {
    let verified = passwords.verify(password.into(), hash.cloned()).await;
    verified.expect("not busy")
}

/// A hash with these parameters.
fn stored(memory_kib: u32, iterations: u32) -> SecretString {
    let parameters = Parameters::new(memory_kib, iterations, 1).expect("parameters");
    pitchey_passwords::hash(
        PASSWORD,
        [7; 16],
        &parameters,
        &mut pitchey_passwords::Memory::default(),
    )
}

#[tokio::test]
async fn a_hash_is_a_phc_string_that_only_its_password_matches() {
    let passwords = passwords(&config());
    let hash = hashed(&passwords).await;
    let text = hash.expose_secret();
    assert!(
        text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{text}"
    );

    let right = verified(&passwords, PASSWORD, Some(&hash)).await;
    assert!(right.matches);
    assert!(right.rehash.is_none(), "it has today's parameters");
    let wrong = verified(&passwords, "correct horse battery stable", Some(&hash)).await;
    assert!(!wrong.matches);
    assert!(wrong.rehash.is_none());
}

/// Made by the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
#[tokio::test]
async fn a_hash_of_the_reference_implementation_matches() {
    let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                     CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let checked = verified(&passwords(&config()), "password", Some(&reference.into())).await;
    assert!(checked.matches);
}

#[tokio::test]
async fn equal_passwords_have_different_hashes() {
    let passwords = passwords(&config());
    let (one, other) = (hashed(&passwords).await, hashed(&passwords).await);
    assert_ne!(one.expose_secret(), other.expose_secret());
}

#[tokio::test]
async fn without_an_account_no_password_matches() {
    let passwords = passwords(&config());
    for password in ["", PASSWORD] {
        let checked = verified(&passwords, password, None).await;
        assert!(!checked.matches && checked.rehash.is_none());
    }
}

#[tokio::test]
async fn a_weaker_hash_is_made_anew_once_its_password_is_known() {
    let passwords = passwords(&config());
    for old in [stored(4096, 3), stored(19_456, 1)] {
        let wrong = verified(&passwords, "wrong", Some(&old)).await;
        assert!(!wrong.matches && wrong.rehash.is_none());

        let right = verified(&passwords, PASSWORD, Some(&old)).await;
        assert!(right.matches);
        let new = right.rehash.expect("a stronger hash");
        assert!(new.expose_secret().contains("$m=19456,t=2,p=1$"));
        let again = verified(&passwords, PASSWORD, Some(&new)).await;
        assert!(again.matches && again.rehash.is_none());
    }
}

#[tokio::test]
async fn a_stronger_hash_stays() {
    let checked = verified(&passwords(&config()), PASSWORD, Some(&stored(20_000, 3))).await;
    assert!(checked.matches && checked.rehash.is_none());
}

#[tokio::test]
async fn a_stored_hash_that_cannot_be_read_matches_nothing() {
    let passwords = passwords(&config());
    for text in [
        "",
        PASSWORD,
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "$argon2id$v=19$m=19456,t=2,p=1",
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=1$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=8,t=4000000000,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ] {
        let checked = verified(&passwords, PASSWORD, Some(&text.into())).await;
        assert!(!checked.matches && checked.rehash.is_none(), "{text}");
    }
}

#[tokio::test]
async fn a_guessable_password_is_refused() {
    let passwords = passwords(&config());
    let about = vec!["Ann Archer".to_owned(), "ann@archer.example".to_owned()];
    for password in ["password1", "annarcher2026"] {
        let refused = passwords.hash(password.into(), about.clone()).await;
        assert_eq!(refused.expect("not busy").err(), Some(TooWeak));
    }
}
