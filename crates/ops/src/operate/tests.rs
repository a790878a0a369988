//! What the command line says of itself, and what it takes.

use crate::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use std::fmt::Write as _;

const ID: &str = "00000000-0000-7000-8000-000000000001";

#[test]
fn the_help_says_what_each_command_does() {
    let mut cli = Cli::command().term_width(100);
    // So that options of the whole command line show below as well.
    cli.build();
    let mut text = String::new();
    for name in ["admin", "users", "sessions", "pitches", "outbox", "audit"] {
        let group = cli.find_subcommand_mut(name).expect("the command is there");
        let help = group.render_long_help();
        let _ = writeln!(text, "### {name}\n\n{help}");
        for command in group.get_subcommands_mut() {
            if command.get_name() != "help" {
                let help = command.render_long_help();
                let _ = writeln!(text, "### {name} {}\n\n{help}", command.get_name());
            }
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// What is wrong with a command line, if anything is.
fn wrong(line: &[&str]) -> Option<ErrorKind> {
    let line = ["pitchey"].iter().chain(line);
    Cli::try_parse_from(line).err().map(|error| error.kind())
}

#[test]
fn what_is_meant_is_taken() {
    for line in [
        &["users", "list"][..],
        &[
            "users", "list", "--role", "admin", "--locked", "--limit", "1000", "--json",
        ],
        &[
            "users",
            "list",
            "--unlocked",
            "--search",
            "ann",
            "--after",
            ID,
        ],
        &["users", "show", "ann@example.org"],
        &[
            "users",
            "lock",
            "ann",
            "--reason",
            "spam",
            "--operator",
            "olga",
        ],
        &["users", "role", ID, "production", "--operator", "olga"],
        &["sessions", "revoke", ID, "--operator", "olga"],
        &["sessions", "revoke", "--all", "ann", "--operator", "olga"],
        &[
            "pitches",
            "unpublish",
            ID,
            "--reason",
            "a complaint",
            "--operator",
            "olga",
        ],
        &["outbox", "replay", "--since", "1h", "--operator", "olga"],
        &[
            "outbox",
            "replay",
            "--since",
            "1h",
            "--events",
            "--kind",
            "notified",
            "--operator",
            "olga",
        ],
        &[
            "audit",
            "tail",
            "--actor",
            "ann",
            "--subject",
            ID,
            "--follow",
            "--json",
        ],
    ] {
        assert_eq!(wrong(line), None, "{line:?}");
    }
}

#[test]
fn what_is_called_wrongly_is_refused() {
    use ErrorKind::{
        ArgumentConflict, InvalidValue, MissingRequiredArgument, UnknownArgument, ValueValidation,
    };
    for (line, expected) in [
        (
            &["users", "list", "--locked", "--unlocked"][..],
            ArgumentConflict,
        ),
        (&["users", "list", "--role", "root"], InvalidValue),
        (&["users", "list", "--limit", "0"], ValueValidation),
        (&["users", "list", "--limit", "1001"], ValueValidation),
        (&["users", "list", "--after", "x"], ValueValidation),
        (
            &["users", "lock", "ann", "--operator", "olga"],
            MissingRequiredArgument,
        ),
        (
            &[
                "users",
                "lock",
                "ann",
                "--reason",
                " ",
                "--operator",
                "olga",
            ],
            ValueValidation,
        ),
        (
            &[
                "users",
                "lock",
                "ann",
                "--reason",
                "a\u{1b}b",
                "--operator",
                "olga",
            ],
            ValueValidation,
        ),
        (
            &["users", "unlock", "ann", "--operator", ""],
            ValueValidation,
        ),
        (
            &["users", "role", "ann", "root", "--operator", "olga"],
            InvalidValue,
        ),
        (
            &["sessions", "revoke", "--operator", "olga"],
            MissingRequiredArgument,
        ),
        (
            &[
                "sessions",
                "revoke",
                ID,
                "--all",
                "ann",
                "--operator",
                "olga",
            ],
            ArgumentConflict,
        ),
        (
            &["sessions", "revoke", "ann", "--operator", "olga"],
            ValueValidation,
        ),
        (&["pitches", "show", "x"], ValueValidation),
        (
            &["outbox", "replay", "--operator", "olga"],
            MissingRequiredArgument,
        ),
        (
            &["outbox", "replay", "--since", "1", "--operator", "olga"],
            ValueValidation,
        ),
        (
            &[
                "outbox",
                "replay",
                "--since",
                "1h",
                "--tags",
                "--events",
                "--operator",
                "olga",
            ],
            ArgumentConflict,
        ),
        (
            &[
                "outbox",
                "replay",
                "--since",
                "1h",
                "--kind",
                "notified",
                "--operator",
                "olga",
            ],
            MissingRequiredArgument,
        ),
        (
            &[
                "outbox",
                "replay",
                "--since",
                "1h",
                "--events",
                "--kind",
                "x",
                "--operator",
                "olga",
            ],
            InvalidValue,
        ),
        (&["audit", "tail", "--subject", "x"], ValueValidation),
        // A password is no argument.
        (
            &[
                "admin",
                "create",
                "--username",
                "root",
                "--email",
                "r@example.org",
                "--password",
                "x",
                "--operator",
                "olga",
            ],
            UnknownArgument,
        ),
        (
            &[
                "admin",
                "create",
                "--username",
                "R O",
                "--email",
                "r@example.org",
                "--operator",
                "olga",
            ],
            ValueValidation,
        ),
        (
            &[
                "admin",
                "create",
                "--username",
                "root",
                "--email",
                "r",
                "--operator",
                "olga",
            ],
            ValueValidation,
        ),
    ] {
        assert_eq!(wrong(line), Some(expected), "{line:?}");
    }
}
