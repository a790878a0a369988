//! Whether a password would be guessed too soon.

use zxcvbn::{Score, zxcvbn};

/// What every attacker of this site tries.
const OURS: [&str; 1] = ["pitchey"];

/// How much of what is known about the owner is looked at. The API's own limits lie below.
const MAX_ABOUT: usize = 16;
const MAX_CHARACTERS: usize = 100;

/// Shorter words are in every password by chance.
const MIN_WORD: usize = 3;

/// Marks that stand for letters, each with its neighbour: what the same key gives on a US keyboard.
const MARKS: [(char, char); 13] = [
    ('!', '1'),
    ('@', '2'),
    ('#', '3'),
    ('$', '4'),
    ('%', '5'),
    ('&', '7'),
    ('(', '9'),
    ('+', '='),
    ('[', ']'),
    ('{', ']'),
    ('|', '\\'),
    ('<', ','),
    ('/', '?'),
];

/// How many kinds of them are read as letters in one password.
const MAX_MARKS: usize = 3;

/// Whether fewer than a hundred million guesses would find it: what an attacker tries first (common
/// passwords, words and names with their usual disguises, keyboard walks, dates, and what is known
/// `about` the owner). Beside the owner's own words there has to be more than an appendix: what a
/// million guesses would find. The estimate looks at the first 100 characters.
///
/// Source: Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016; its
/// score 3 is "safely unguessable" in an offline attack on a slow hash.
pub fn is_too_weak(password: &str, about: &[String]) -> bool {
    let mut known = known(about);
    known.extend(OURS.map(str::to_owned));
    let inputs: Vec<&str> = known.iter().map(String::as_str).collect();
    let password = &bounded(password);
    if zxcvbn(password, &inputs).score() < Score::Three {
        return true;
    }
    // Three parts, whatever they are, count for a hundred million: two names and a blank would pass.
    without(password, &known).is_some_and(|rest| zxcvbn(&rest, &inputs).score() < Score::Two)
}

/// The part of a password that is looked at.
///
/// zxcvbn tries every way to read the marks that stand for letters, and a password made for it would
/// keep a thread busy for seconds. Nobody needs more than a few kinds of them to be understood; the
/// others are looked at as their neighbours, so that walks over the keyboard stay walks.
fn bounded(password: &str) -> String {
    let mut kinds = Vec::with_capacity(MAX_MARKS);
    let bound = |letter: char| match MARKS.iter().find(|(mark, _)| *mark == letter) {
        Some((_, neighbour)) if !kinds.contains(&letter) => {
            if kinds.len() == MAX_MARKS {
                return *neighbour;
            }
            kinds.push(letter);
            letter
        }
        _ => letter,
    };
    password.chars().take(MAX_CHARACTERS).map(bound).collect()
}

/// The letters and digits that are left of a password without the words, forwards or backwards and in
/// their usual disguise; `None` if none of them is in it.
fn without(password: &str, words: &[String]) -> Option<String> {
    let letters: Vec<char> = password.chars().collect();
    let plain: Vec<char> = letters.iter().copied().map(undisguised).collect();
    let mut left = vec![true; letters.len()];
    for word in words {
        let mut word: Vec<char> = word.chars().map(undisguised).collect();
        for _direction in 0..2 {
            for (start, window) in plain.windows(word.len()).enumerate() {
                if window == word {
                    left[start..start + word.len()].fill(false);
                }
            }
            word.reverse();
        }
    }
    let rest = letters.iter().zip(&left).filter(|(_, left)| **left);
    let rest = rest.map(|(letter, _)| *letter);
    let rest: String = rest.filter(|letter| letter.is_alphanumeric()).collect();
    left.contains(&false).then_some(rest)
}

/// The letter that another stands for, one for one.
fn undisguised(letter: char) -> char {
    match letter {
        '4' | '@' => 'a',
        '3' => 'e',
        '1' | '!' => 'i',
        '0' => 'o',
        '5' | '$' => 's',
        '7' => 't',
        // A letter whose small form is several is left as it is.
        other => other.to_lowercase().next().unwrap_or(other),
    }
}

/// The words that the owner's names and address are made of, alone and together.
fn known(about: &[String]) -> Vec<String> {
    let mut known = Vec::new();
    for text in about.iter().take(MAX_ABOUT) {
        let text: String = text.chars().take(MAX_CHARACTERS).collect();
        let words: Vec<&str> = text
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        known.push(words.concat());
        if let Some((local, _)) = text.split_once('@') {
            known.push(local.to_owned());
        }
        known.extend(words.into_iter().map(str::to_owned));
        known.push(text);
    }
    known.retain(|word| word.chars().count() >= MIN_WORD);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 3,000 most common passwords of the list that zxcvbn carries, the most common first.
    const COMMON: &str = include_str!("common_passwords.txt");

    #[test]
    fn the_three_thousand_most_common_passwords_are_too_weak() {
        let passed: Vec<&str> = COMMON
            .lines()
            .filter(|password| !is_too_weak(password, &[]))
            .collect();
        assert_eq!(COMMON.lines().count(), 3000);
        assert!(passed.is_empty(), "{passed:?}");
    }

    #[test]
    fn usual_disguises_of_common_passwords_are_too_weak() {
        for password in [
            "",
            "a",
            "Password1!",
            "P@ssw0rd123",
            "drowssap",
            "qwertyuiop[]",
            "1qaz2wsx3edc",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "19870314",
            "Pitchey2026",
        ] {
            assert!(is_too_weak(password, &[]), "{password}");
        }
    }

    #[test]
    fn phrases_and_random_characters_are_strong_enough() {
        for password in [
            "correct horse battery staple",
            "vT9#kq2LwzR4",
            "seven green bottles hum quietly",
            "žluťoučký kůň úpěl ďábelské ódy",
        ] {
            assert!(!is_too_weak(password, &[]), "{password}");
        }
    }

    #[test]
    fn what_derives_from_its_owner_is_too_weak() {
        let about = [
            "Xanthippe Oyelaran-Voss",
            "xoyelaran",
            "x.voss77@quillfeather.example",
        ]
        .map(str::to_owned);
        for password in [
            "xanthippe oyelaran",
            "Xanthippe2026!",
            "oyelaranvoss",
            "VossOyelaran1",
            "quillfeather99",
            "x.voss77@quillfeather.example",
            "n4r4leyox",
            "xanthippeoyelaranvoss",
            "Xanthippe Oyelaran 2026!",
            "x4n7h1pp3 & 0y3l4r4n & v0ss",
            "xanthippe - naraleyo - purple",
        ] {
            assert!(is_too_weak(password, &about), "{password}");
        }
        for password in [
            "correct horse battery staple",
            "xanthippe rides the correct horse",
        ] {
            assert!(!is_too_weak(password, &about), "{password}");
        }
    }

    #[test]
    fn marks_beyond_a_few_kinds_stand_for_no_letters() {
        assert_eq!(bounded("p@$$w0rd!|7+(@"), "p@$$w0rd!\\7=9@");
        for password in ["p@$$w0rd!", "!@#$%^&*()"] {
            assert!(is_too_weak(password, &[]), "{password}");
        }
        assert!(!is_too_weak("@({[<&#!/|$+%@({[<&#!/|$+%x", &[]));
    }

    #[test]
    fn a_very_long_password_is_estimated_by_its_beginning() {
        assert!(is_too_weak(&"a".repeat(100_000), &["b".repeat(100_000)]));
        let long = "correct horse battery staple ".repeat(1000);
        assert!(!is_too_weak(&long, &[]));
    }
}
