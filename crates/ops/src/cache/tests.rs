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
        &["purge", "--tag", "lists", "--tag", "search", "--hard"],
        &[
            "purge",
            "--key",
            "search:/api/search?q=film",
            "--prefix",
            "pitch_detail:",
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
        (&["purge"], ErrorKind::MissingRequiredArgument),
        (&["purge", "--tag", ""], ErrorKind::ValueValidation),
        (
            &["purge", "--key", "k", "--hard"],
            ErrorKind::MissingRequiredArgument,
        ),
        (&["inspect"], ErrorKind::MissingRequiredArgument),
    ] {
        assert_eq!(wrong(line), Some(expected), "{line:?}");
    }
}
