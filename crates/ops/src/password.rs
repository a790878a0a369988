//! Passwords: from a terminal and unseen, else a line of standard input. Never from the arguments, which
//! everybody on the machine can read.

use anyhow::{Context as _, bail, ensure};
use pitchey_model::{MAX_PASSWORD, MIN_PASSWORD};
use secrecy::{ExposeSecret as _, SecretString};
use std::io::{BufRead, IsTerminal as _, Read as _};

/// A password that is to be set: on a terminal it is asked for twice.
pub(crate) fn read_new() -> anyhow::Result<SecretString> {
    if let Some(password) = from_input()? {
        return Ok(password);
    }
    let password = ask("Password: ")?;
    let again = ask("Once more: ")?;
    ensure!(
        password.expose_secret() == again.expose_secret(),
        "these were two passwords"
    );
    Ok(password)
}

/// The password of an account that is there.
pub(crate) fn read() -> anyhow::Result<SecretString> {
    match from_input()? {
        Some(password) => Ok(password),
        None => ask("Password: "),
    }
}

/// The first line of standard input, unless that is a terminal. What follows it is still there to be read.
fn from_input() -> anyhow::Result<Option<SecretString>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(None);
    }
    first_line(&mut stdin.lock()).map(Some)
}

fn ask(prompt: &str) -> anyhow::Result<SecretString> {
    let answer = rpassword::prompt_password(prompt);
    let answer = answer.context("cannot read the password from the terminal")?;
    Ok(answer.into())
}

/// The first line, without its end.
fn first_line(input: &mut impl BufRead) -> anyhow::Result<SecretString> {
    // Enough for the longest password and the end of its line: what does not fit is too long anyway.
    let most = 4 * MAX_PASSWORD + 2;
    let mut line = Vec::with_capacity(most);
    input
        .take(most as u64)
        .read_until(b'\n', &mut line)
        .context("cannot read the password from standard input")?;
    ensure!(
        !line.is_empty(),
        "no password: give it as a line on standard input, or call this on a terminal"
    );
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|end| *end == b'\r');
    } else {
        ensure!(line.len() < most, "{}", wrong_length());
    }
    // The error would carry the password.
    match String::from_utf8(line) {
        Ok(line) => Ok(line.into()),
        Err(_) => bail!("the password is not text in UTF-8"),
    }
}

/// What is said of a password that is too short or too long.
pub(crate) fn wrong_length() -> String {
    format!("the password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<String, String> {
        let password = first_line(&mut &*input).map_err(|error| error.to_string())?;
        Ok(password.expose_secret().to_owned())
    }

    #[test]
    fn a_password_is_the_first_line_as_it_is() {
        for input in [" a b \n", " a b \r\nmore\n", " a b "] {
            assert_eq!(read(input.as_bytes()).as_deref(), Ok(" a b "), "{input:?}");
        }
        assert_eq!(read("ž\r".as_bytes()).as_deref(), Ok("ž\r"));
        assert_eq!(read(b"\n").as_deref(), Ok(""));
        let longest = "🎬".repeat(MAX_PASSWORD);
        assert_eq!(read(format!("{longest}\r\n").as_bytes()), Ok(longest));
    }

    #[test]
    fn what_follows_the_password_is_left() {
        let mut input = &b"secret\n/api/pitches\n"[..];
        first_line(&mut input).expect("a password");
        assert_eq!(input, b"/api/pitches\n");
    }

    #[test]
    fn what_is_no_password_is_refused_without_telling_it() {
        let refused = |input: &[u8]| read(input).expect_err("no password");
        assert!(refused(b"").starts_with("no password"));
        assert_eq!(refused(b"secret\xff"), "the password is not text in UTF-8");
        assert_eq!(refused(&[b'a'; 5000]), wrong_length());
    }
}
