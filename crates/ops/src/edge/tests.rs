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
    let edge = cli.find_subcommand_mut("edge").expect("it is there");
    let mut text = String::new();
    let help = edge.render_long_help();
    let _ = writeln!(text, "### edge\n\n{help}");
    for command in edge.get_subcommands_mut() {
        if command.get_name() != "help" {
            let help = command.render_long_help();
            let _ = writeln!(text, "### edge {}\n\n{help}", command.get_name());
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    use ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};
    for (line, kind) in [
        (&["purge", "--tag", "lists", "--key", "/a"][..], None),
        (&["warm", "/a", "/b", "--accept-encoding", "br"], None),
        (&["warm", "--file", "paths"], None),
        (
            &["status", "--edge", "https://pitchey.example", "--json"],
            None,
        ),
        (&["purge"], Some(MissingRequiredArgument)),
        (&["warm"], Some(MissingRequiredArgument)),
        (&["warm", "/a", "--file", "paths"], Some(ArgumentConflict)),
        (
            &["status", "--edge", "pitchey.example"],
            Some(ValueValidation),
        ),
        (&["routes", "--edge", "http://x/y"], Some(ValueValidation)),
    ] {
        let whole = ["pitchey", "edge"].iter().chain(line);
        let wrong = Cli::try_parse_from(whole).err().map(|error| error.kind());
        assert_eq!(wrong, kind, "{line:?}");
    }
}
