//! The binary as an operator meets it, as far as it goes without clients.

use std::process::Command;

/// Exit code, standard output and standard error.
fn hub(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hub"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the binary starts");
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().expect("no signal"),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

const KEY: (&str, &str) = ("HUB_TICKETS__KEY", "0123456789abcdef0123456789abcdef");

#[test]
fn help_says_what_it_is_and_takes() {
    insta::assert_snapshot!(hub(&["--help"], &[]));
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    insta::assert_snapshot!(hub(&["start"], &[]));
}

#[test]
fn a_wrong_configuration_is_a_usage_error_that_names_everything() {
    let environment = [
        ("HUB_HTTP__MAX_CONNECTIONS", "0"),
        ("HUB_HTTP__ALLOWED_ORIGINS", r#"["pitchey.example"]"#),
        ("HUB_PUBLISH__SECRET", "short"),
        ("REDIS_URL", "http://127.0.0.1"),
    ];
    insta::assert_snapshot!(hub(&[], &environment));
    insta::assert_snapshot!("an_unknown_key", hub(&[], &[KEY, ("HUB_HTTP__PORT", "80")]));
    insta::assert_snapshot!("no_section", hub(&[], &[KEY, ("HUB_PORT", "80")]));
}

#[test]
fn check_config_prints_what_a_file_would_say_and_no_secret() {
    let shown = hub(
        &["--check-config"],
        &[KEY, ("REDIS_URL", "redis://:secret@127.0.0.1")],
    );
    assert!(
        !shown.contains("secret@") && !shown.contains(KEY.1),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
}
