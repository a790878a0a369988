//! What the command line says of itself, and what it takes.

use crate::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use std::fmt::Write as _;

#[test]
fn the_help_says_what_each_command_does() {
    let mut cli = Cli::command().term_width(100);
    // So that options of the whole command line show below as well.
    cli.build();
    let cache = cli.find_subcommand_mut("cache");
    let cache = cache.expect("the command is there");
    let mut text = String::new();
    let help = cache.render_long_help();
    let _ = writeln!(text, "### cache\n\n{help}");
    for command in cache.get_subcommands_mut() {
        if command.get_name() != "help" {
            let help = command.render_long_help();
            let _ = writeln!(text, "### cache {}\n\n{help}", command.get_name());
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// What is wrong with a command line, if anything is.
fn wrong(line: &[&str]) -> Option<ErrorKind> {
    let line = ["pitchey", "cache"].iter().chain(line);
    Cli::try_parse_from(line).err().map(|error| error.kind())
}

#[test]
fn what_is_meant_is_taken() {
    for line in [
        &["simulate"][..],
        &[
            "simulate",
            "--schedules",
            "1000000",
            "--seed",
            "7",
            "--threads",
            "2",
            "--json",
        ],
        &["simulate", "--without", "fill-checks-tags"],
        &["simulate", "--guards"],
        &["status", "--redis-url", "redis://127.0.0.1/0", "--json"],
        &["inspect", "pitch_list:/api/pitches/new"],
        &[
            "status",
            "--origin",
            "http://127.0.0.1:8788",
            "--email",
            "root@example.org",
        ],
        &[
            "stats",
            "--origin",
            "https://pitchey.example",
            "--email",
            "root@example.org",
            "--json",
        ],
        &[
            "warm",
            "--origin",
            "https://pitchey.example/",
            "--email",
            "root@example.org",
            "/api/pitches/new",
            "-",
        ],
        &[
            "purge",
            "--tag",
            "lists",
            "--tag",
            "search",
            "--hard",
            "--operator",
            "olga",
        ],
        &[
            "purge",
            "--key",
            "search:/api/search?q=film",
            "--prefix",
            "pitch_detail:",
            "--no-audit",
        ],
    ] {
        assert_eq!(wrong(line), None, "{line:?}");
    }
}

#[test]
fn what_is_not_meant_is_refused() {
    for (line, expected) in [
        (
            &["simulate", "--without", "luck"][..],
            ErrorKind::ValueValidation,
        ),
        (
            &["simulate", "--schedules", "0"],
            ErrorKind::ValueValidation,
        ),
        (&["simulate", "--threads", "0"], ErrorKind::ValueValidation),
        (
            &["simulate", "--guards", "--without", "epoch"],
            ErrorKind::ArgumentConflict,
        ),
        (
            &["purge", "--operator", "olga"],
            ErrorKind::MissingRequiredArgument,
        ),
        (
            &["purge", "--tag", "", "--operator", "olga"],
            ErrorKind::ValueValidation,
        ),
        (
            &["purge", "--tag", "lists", "--operator", " "],
            ErrorKind::ValueValidation,
        ),
        (
            &["purge", "--key", "k", "--hard", "--operator", "olga"],
            ErrorKind::MissingRequiredArgument,
        ),
        (&["inspect"], ErrorKind::MissingRequiredArgument),
    ] {
        assert_eq!(wrong(line), Some(expected), "{line:?}");
    }
}

/// What is said of a command line that asks an origin.
fn said(line: &[&str]) -> String {
    let head = ["pitchey", "cache"];
    let line = head.iter().chain(line);
    let said = Cli::try_parse_from(line).expect_err("it is wrong");
    said.to_string()
}

#[test]
fn an_origin_is_asked_by_somebody() {
    let origin = ["--origin", "http://127.0.0.1:8788"];
    let email = ["--email", "root@example.org"];
    let missing = |line: &[&str]| {
        let said = said(line);
        let lines = said
            .lines()
            .filter(|line| line.starts_with("  --") || line.starts_with("  <"));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        missing(&[&["status"][..], &origin].concat()),
        ["--email <ADDRESS>"]
    );
    assert_eq!(
        missing(&[&["stats"][..], &origin].concat()),
        ["--email <ADDRESS>"]
    );
    assert_eq!(
        missing(&[&["stats"][..], &email].concat()),
        ["--origin <URL>"]
    );
    assert_eq!(
        missing(&[&["warm"][..], &origin, &email].concat()),
        ["<ADDRESS>..."]
    );
}

#[test]
fn what_is_no_origin_and_what_is_no_address_is_said() {
    let email = ["--email", "root@example.org"];
    let origin = ["--origin", "http://127.0.0.1:8788"];
    let first = |line: &[&str]| said(line).lines().next().unwrap_or_default().to_owned();
    let stats = &["stats", "--origin", "https://pitchey.example/api"][..];
    insta::assert_snapshot!(first(&[stats, &email].concat()), @"error: invalid value 'https://pitchey.example/api' for '--origin <URL>': must be http:// or https://, a host and perhaps a port, and nothing else");
    let address = &["warm", "https://pitchey.example/api/pitches"][..];
    insta::assert_snapshot!(first(&[address, &origin, &email].concat()), @"error: invalid value 'https://pitchey.example/api/pitches' for '<ADDRESS>...': must be the path and query of a public read, at most 1000 characters");
    // A password is no argument.
    let password = &["stats", "--password", "x"][..];
    insta::assert_snapshot!(first(&[password, &origin, &email].concat()), @"error: unexpected argument '--password' found");
}
