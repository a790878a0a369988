//! The binary as an operator meets it, as far as it goes without a database.

use std::process::{Command, Output};

fn origin(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_origin"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the binary starts")
}

/// Exit code, standard output and standard error.
fn shown(output: &Output) -> String {
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().expect("no signal"),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

const VALID: [(&str, &str); 2] = [
    ("DATABASE_URL", "postgres://ann:secret@127.0.0.1:1/pitchey"),
    ("PITCHEY_CURSOR__KEY", "0123456789abcdef0123456789abcdef"),
];

#[test]
fn help_says_what_it_is_and_takes() {
    insta::assert_snapshot!(shown(&origin(&["--help"], &[])), @r#"
    exit 0
    --- stdout
    The server of record: the API over PostgreSQL.

    Configuration comes from defaults, then the file, then the environment: `DATABASE_URL`, and
    `PITCHEY_<SECTION>__<KEY>` for every key that `--check-config` shows.

    Usage: origin [OPTIONS]

    Options:
          --config <FILE>
              A configuration file (TOML)

          --check-config
              Print the effective configuration without its secrets, and exit

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    --- stderr
    "#);
}

#[test]
fn version_is_one_line() {
    let shown = shown(&origin(&["--version"], &[]));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        shown,
        format!("exit 0\n--- stdout\norigin {version}\n--- stderr\n")
    );
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    insta::assert_snapshot!(shown(&origin(&["--confg", "x"], &[])), @r#"
    exit 2
    --- stdout
    --- stderr
    error: unexpected argument '--confg' found

      tip: a similar argument exists: '--config'

    Usage: origin --config <FILE>

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(shown(&origin(&["start"], &[])), @r#"
    exit 2
    --- stdout
    --- stderr
    error: unexpected argument 'start' found

    Usage: origin [OPTIONS]

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(shown(&origin(&["--config"], &[])), @r#"
    exit 2
    --- stdout
    --- stderr
    error: a value is required for '--config <FILE>' but none was supplied

    For more information, try '--help'.
    "#);
}

#[test]
fn a_wrong_configuration_is_a_usage_error_that_names_everything() {
    let environment = [("PITCHEY_HTTP__PORT", "80"), ("PITCHEY_LOG__FORMAT", "xml")];
    insta::assert_snapshot!(shown(&origin(&[], &environment)), @r#"
    exit 2
    --- stdout
    --- stderr
    origin: configuration is not valid:
      http.port: no such key, there are address, max_connections, header_timeout_ms, idle_timeout_ms, request_timeout_ms, max_header_bytes, max_body_bytes, drain_delay_ms, shutdown_timeout_ms, allowed_origins, trusted_proxies, database_time (PITCHEY_HTTP__PORT)
      log.format: "xml" is none of json, pretty (PITCHEY_LOG__FORMAT)
      database.url: is not set (DATABASE_URL or PITCHEY_DATABASE__URL)
      cursor.key: is not set (PITCHEY_CURSOR__KEY)
    "#);
    let checked = shown(&origin(&["--check-config"], &environment));
    assert_eq!(checked, shown(&origin(&[], &environment)));
}

#[test]
fn check_config_prints_what_a_file_would_say_and_no_secret() {
    let output = origin(&["--check-config"], &VALID);
    let shown = shown(&output);
    assert!(shown.starts_with("exit 0\n--- stdout\n[http]\n"), "{shown}");
    assert!(
        shown.contains(r#"url = "postgres://[redacted]@127.0.0.1:1/pitchey""#),
        "{shown}"
    );
    assert!(
        !shown.contains("secret") && !shown.contains(VALID[1].1),
        "{shown}"
    );
}

#[test]
fn an_address_that_is_taken_is_a_runtime_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut environment = VALID.to_vec();
    environment.push(("PITCHEY_HTTP__ADDRESS", &address));
    let shown = shown(&origin(&[], &environment)).replace(&address, "ADDRESS");
    insta::assert_snapshot!(shown, @r#"
    exit 1
    --- stdout
    --- stderr
    origin: cannot listen on ADDRESS: Address already in use (os error 98)
    "#);
}

#[test]
fn a_database_that_is_not_there_is_a_runtime_error_without_its_password() {
    let mut environment = VALID.to_vec();
    environment.push(("PITCHEY_HTTP__ADDRESS", "127.0.0.1:0"));
    environment.push(("PITCHEY_METRICS__ADDRESS", "127.0.0.1:0"));
    environment.push(("PITCHEY_DATABASE__ACQUIRE_TIMEOUT_MS", "50"));
    let output = origin(&[], &environment);
    let shown = shown(&output);
    insta::assert_snapshot!(shown, @r#"
    exit 1
    --- stdout
    --- stderr
    origin: the database did not answer in time: pool timed out while waiting for an open connection
    "#);
    assert!(!shown.contains("secret"));
}
