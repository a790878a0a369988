//! `pitchey admin`: administrators, whom nobody can register as.

use super::{By, Desk, line};
use crate::output::Output;
use crate::password::{self, wrong_length};
use anyhow::{bail, ensure};
use clap::Subcommand;
use pitchey_model::{Email, MAX_PASSWORD, MIN_PASSWORD, ProfileText, Role, UserId, Username};
use pitchey_passwords::{Memory, Parameters, Salt};
use pitchey_runtime::{Random as _, uuid_v7};
use pitchey_store::accounts::{NewAccount, Taken};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

/// What can be done about administrators.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an administrator's account. The password is asked for, or read as a line from standard input.
    Create(Create),
}

/// Whose account.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Create {
    /// Its name in addresses, for ever.
    #[arg(long)]
    username: Username,
    /// What its owner signs in with.
    #[arg(long)]
    email: Email,
    /// Its name on pages; the username unless it is given.
    #[arg(long, value_name = "NAME", value_parser = line::<{ ProfileText::MAX_DISPLAY_NAME }>)]
    display_name: Option<String>,
    #[command(flatten)]
    by: By,
}

/// The account that was made.
#[derive(Debug, Serialize)]
struct Made {
    id: UserId,
    username: Username,
    email: String,
    role: Role,
    display_name: String,
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Command::Create(create) = command;
    let password = password::read_new()?;
    let username = create.username;
    let display_name = create
        .display_name
        .unwrap_or_else(|| username.as_str().to_owned());
    let about = [username.as_str(), &display_name, create.email.as_str()].map(str::to_owned);
    check(&password, &about)?;
    let mut salt = Salt::default();
    desk.runtime.fill(&mut salt);
    let account = NewAccount {
        id: UserId(uuid_v7(&desk.runtime, &desk.runtime)),
        username,
        email: create.email,
        password_hash: pitchey_passwords::hash(
            password.expose_secret(),
            salt,
            &Parameters::default(),
            &mut Memory::default(),
        ),
        role: Role::Admin,
        display_name,
    };
    let made = desk
        .store
        .create_account(&account, &create.by.operator, desk.now())
        .await?;
    if let Err(Taken { username, email }) = made {
        let mut taken = Vec::new();
        if username {
            taken.push(format!("the username {}", account.username.as_str()));
        }
        if email {
            taken.push(format!("the address {}", account.email));
        }
        let are = if taken.len() == 1 { "is" } else { "are" };
        bail!("{} {are} taken", taken.join(" and "));
    }
    let made = Made {
        id: account.id,
        email: account.email.to_string(),
        role: account.role,
        username: account.username,
        display_name: account.display_name,
    };
    output.show(&made, || {
        format!(
            "{} is an administrator: {}\n",
            made.username.as_str(),
            made.id
        )
    })
}

/// The rules of registration.
fn check(password: &SecretString, about: &[String]) -> anyhow::Result<()> {
    let password = password.expose_secret();
    let length = password.chars().count();
    ensure!(
        (MIN_PASSWORD..=MAX_PASSWORD).contains(&length),
        "{}",
        wrong_length()
    );
    ensure!(
        !pitchey_passwords::is_too_weak(password, about),
        "this password would be guessed too soon: use several words that have nothing to do with each other"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_registration() {
        let about = ["olga".to_owned(), "Olga Orlova".to_owned()];
        let refusal = |password: &str| {
            let checked = check(&password.into(), &about);
            checked.err().map(|error| error.to_string())
        };
        assert_eq!(refusal("correct horse battery staple"), None);
        for password in ["kG7-pQ2!xW9", &"vT9#kq2L".repeat(33)] {
            assert_eq!(refusal(password), Some(wrong_length()));
        }
        for password in ["password1234", "OlgaOrlova2026"] {
            let refusal = refusal(password).expect("too weak");
            assert!(refusal.contains("guessed too soon"), "{refusal}");
        }
    }
}
