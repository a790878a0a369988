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
    let hub = cli.find_subcommand_mut("hub").expect("it is there");
    let mut text = String::new();
    let help = hub.render_long_help();
    let _ = writeln!(text, "### hub\n\n{help}");
    for command in hub.get_subcommands_mut() {
        if command.get_name() != "help" {
            let help = command.render_long_help();
            let _ = writeln!(text, "### hub {}\n\n{help}", command.get_name());
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// What is wrong with a command line, if anything is.
fn wrong(line: &[&str]) -> Option<ErrorKind> {
    let line = ["pitchey", "hub"].iter().chain(line);
    Cli::try_parse_from(line).err().map(|error| error.kind())
}

#[test]
fn what_is_meant_is_taken() {
    for line in [
        &["load"][..],
        &[
            "load",
            "--hub",
            "http://127.0.0.1:1,http://[::1]:2",
            "--sockets",
            "50000",
            "--rooms",
            "1",
            "--rate",
            "0",
            "--size",
            "64",
            "--duration",
            "1h",
            "--storm",
            "50000",
            "--slow",
            "100",
            "--connecting",
            "1",
            "--json",
        ],
        &["load", "--origin", "http://127.0.0.1:8788", "--remote"],
    ] {
        assert_eq!(wrong(line), None, "{line:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    use ErrorKind::{ArgumentConflict, UnknownArgument, ValueValidation};
    for (line, kind) in [
        (&["load", "--sockets", "50001"][..], ValueValidation),
        (&["load", "--sockets", "0"], ValueValidation),
        (&["load", "--rooms", "0"], ValueValidation),
        (&["load", "--slow", "101"], ValueValidation),
        (&["load", "--duration", "61m"], ValueValidation),
        (&["load", "--duration", "5"], ValueValidation),
        (&["load", "--hub", "ws://127.0.0.1:1"], ValueValidation),
        (&["load", "--size", "63"], ValueValidation),
        (&["load", "lists"], UnknownArgument),
        (
            &["load", "--origin", "http://127.0.0.1:1", "--rooms", "2"],
            ArgumentConflict,
        ),
    ] {
        assert_eq!(wrong(line), Some(kind), "{line:?}");
    }
}
