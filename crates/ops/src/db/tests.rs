//! What the command line says of itself.

use crate::Cli;
use clap::{Command, CommandFactory as _};
use std::fmt::Write as _;

/// The help of a command and of those below it.
fn write_help(command: &mut Command, path: &str, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    let help = command.render_long_help();
    let _ = writeln!(text, "### {path}\n\n{help}");
    for below in command.get_subcommands_mut() {
        if below.get_name() != "help" {
            write_help(below, &path, text);
        }
    }
}

#[test]
fn the_help_says_what_each_command_does() {
    let mut cli = Cli::command().term_width(100);
    // So that options of the whole command line show below as well.
    cli.build();
    let db = cli.find_subcommand_mut("db").expect("the command is there");
    let mut text = String::new();
    write_help(db, "pitchey", &mut text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}
