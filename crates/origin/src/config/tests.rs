use std::ffi::OsString;
use std::path::PathBuf;

use super::*;

const KEY: (&str, &str) = ("PITCHEY_CURSOR__KEY", "0123456789abcdef0123456789abcdef");
const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://env:secret@localhost/pitchey");

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/config/fixtures", name]
        .iter()
        .collect()
}

fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(file.map(fixture).as_deref(), environment)
}

/// The message, without where this is checked out.
fn message(error: &ConfigError) -> String {
    let directory = fixture("").display().to_string();
    error.to_string().replace(&directory, "")
}

#[test]
fn what_has_no_default_is_asked_for() {
    let error = load(None, &[]).expect_err("no database and no key");
    insta::assert_snapshot!(message(&error), @r#"
    configuration is not valid:
      database.url: is not set (DATABASE_URL or PITCHEY_DATABASE__URL)
      cursor.key: is not set (PITCHEY_CURSOR__KEY)
    "#);
}

#[test]
fn every_problem_of_every_layer_is_reported_at_once() {
    let error = load(
        Some("wrong.toml"),
        &[
            ("DATABASE_URL", "mysql://ann:secret@localhost/pitchey"),
            ("PITCHEY_HTTP__REQUEST_TIMEOUT_MS", "5s"),
            ("PITCHEY_HTTP__COLOUR", "red"),
            ("PITCHEY_METRICS", "on"),
            ("PITCHEY_LEVEL", "info"),
            ("PITCHEY_", "x"),
            ("PITCHEY_LOG__", "x"),
        ],
    )
    .expect_err("a lot is wrong");
    insta::assert_snapshot!(message(&error), @r#"
    configuration is not valid:
      PITCHEY_: is not PITCHEY_<SECTION>__<KEY>
      PITCHEY_LOG__: is not PITCHEY_<SECTION>__<KEY>
      http.address: invalid socket address syntax (wrong.toml)
      http.colour: no such key, there are address, max_connections, header_timeout_ms, idle_timeout_ms, request_timeout_ms, max_header_bytes, max_body_bytes, drain_delay_ms, shutdown_timeout_ms (PITCHEY_HTTP__COLOUR)
      http.drain_delay_ms: -1 is not a whole number above or at zero (wrong.toml)
      http.max_conections: no such key, there are address, max_connections, header_timeout_ms, idle_timeout_ms, request_timeout_ms, max_header_bytes, max_body_bytes, drain_delay_ms, shutdown_timeout_ms (wrong.toml)
      http.request_timeout_ms: "5s" is not a whole number above or at zero (PITCHEY_HTTP__REQUEST_TIMEOUT_MS)
      metrics: "on" is not a section (PITCHEY_METRICS)
      database.max_connections: "many" is not a whole number above or at zero (wrong.toml)
      log.format: "xml" is none of json, pretty (wrong.toml)
      cursor.key: is not text (wrong.toml)
      cache: no such section, there are cursor, database, http, log, metrics (wrong.toml)
      level: no such section, there are cursor, database, http, log, metrics (PITCHEY_LEVEL)
      http.max_connections: 0 is not between 1 and 1000000
      database.url: does not start with postgres://
      database.tls_ca_file needs tls = "verify-full"
      log.filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    "#);
    assert!(!message(&error).contains("secret"));
    assert!(!message(&error).contains("1234567"), "a key is a secret");
}

#[test]
fn a_file_that_is_no_toml_is_a_problem_beside_the_others() {
    let error = load(Some("broken.toml"), &[DATABASE]).expect_err("the file is broken");
    insta::assert_snapshot!(message(&error), @r#"
    configuration is not valid:
      broken.toml: TOML parse error at line 1, column 6
      |
    1 | [http
      |      ^
    invalid table header
    expected `.`, `]`

      cursor.key: is not set (PITCHEY_CURSOR__KEY)
    "#);
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let error = load(Some("none.toml"), &[DATABASE, KEY]).expect_err("there is no such file");
    insta::assert_snapshot!(message(&error), @r#"
    configuration is not valid:
      none.toml: No such file or directory (os error 2)
    "#);
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_not_utf_8_is_a_problem() {
    use std::os::unix::ffi::OsStringExt as _;
    let variable = (
        OsString::from("PITCHEY_LOG__FILTER"),
        OsString::from_vec(vec![0xff]),
    );
    let foreign = (OsString::from("LANG"), OsString::from_vec(vec![0xff]));
    let rest = [DATABASE, KEY].map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let error = Config::load(None, rest.into_iter().chain([foreign, variable]))
        .expect_err("the filter is not UTF-8");
    assert_eq!(
        error.problems,
        ["log.filter: is not UTF-8 (PITCHEY_LOG__FILTER)"]
    );
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_defaults() {
    let config = load(
        Some("good.toml"),
        &[KEY, ("PITCHEY_HTTP__MAX_CONNECTIONS", "7"), ("HOME", "/")],
    )
    .expect("a valid configuration");
    assert_eq!(config.http.address.to_string(), "0.0.0.0:80");
    assert_eq!(config.http.max_connections, 7);
    assert_eq!(config.http.header_timeout_ms, 10_000);
    assert_eq!(config.database.pool.max_connections, 5);
    assert_eq!(
        config.database.url.expose_secret(),
        "postgres://file@localhost/pitchey"
    );
}

#[test]
fn the_own_variable_overrides_the_well_known_one() {
    let own = ("PITCHEY_DATABASE__URL", "postgres://own@localhost/pitchey");
    for environment in [[KEY, DATABASE, own], [own, DATABASE, KEY]] {
        let config = load(Some("good.toml"), &environment).expect("a valid configuration");
        assert_eq!(config.database.url.expose_secret(), own.1);
    }
    let config = load(Some("good.toml"), &[KEY, DATABASE]).expect("a valid configuration");
    assert_eq!(config.database.url.expose_secret(), DATABASE.1);
}

#[test]
fn a_secret_that_looks_like_a_number_is_text() {
    for key in [
        "00000000000000000000000000000001",
        "1234567890123456.78901234567890123",
        "[0123456789abcdef0123456789abcdef]",
    ] {
        let config = load(None, &[DATABASE, ("PITCHEY_CURSOR__KEY", key)]).expect("a valid key");
        assert_eq!(config.cursor.key.expose_secret(), key);
    }
}

#[test]
fn api_and_metrics_cannot_share_an_address() {
    let same = ("PITCHEY_METRICS__ADDRESS", "127.0.0.1:8788");
    let error = load(None, &[DATABASE, KEY, same]).expect_err("the address is taken");
    assert_eq!(
        error.problems,
        ["metrics.address: 127.0.0.1:8788 is the address of http, too"]
    );
    let free = [
        ("PITCHEY_HTTP__ADDRESS", "127.0.0.1:0"),
        ("PITCHEY_METRICS__ADDRESS", "127.0.0.1:0"),
    ];
    load(None, &[DATABASE, KEY, free[0], free[1]]).expect("two free ports");
}

#[test]
fn the_effective_configuration_is_a_file_without_secrets() {
    let config = load(None, &[DATABASE, KEY]).expect("a valid configuration");
    let text = config.to_redacted_toml().expect("TOML");
    insta::assert_snapshot!(text, @r#"
    [http]
    address = "127.0.0.1:8788"
    max_connections = 4096
    header_timeout_ms = 10000
    idle_timeout_ms = 75000
    request_timeout_ms = 5000
    max_header_bytes = 65536
    max_body_bytes = 65536
    drain_delay_ms = 0
    shutdown_timeout_ms = 10000

    [metrics]
    address = "127.0.0.1:9788"

    [database]
    url = "postgres://[redacted]@localhost/pitchey"
    max_connections = 20
    acquire_timeout_ms = 2000
    idle_timeout_ms = 60000
    max_lifetime_ms = 1800000
    statement_timeout_ms = 5000
    idle_in_transaction_timeout_ms = 10000
    work_mem_kib = 16384
    tcp_keepalive_ms = 30000
    tls = "prefer"

    [log]
    format = "json"
    filter = "info"

    [cursor]
    key = "[redacted]"
    "#);
}

#[test]
fn debugging_a_configuration_shows_no_secret() {
    let config = load(None, &[DATABASE, KEY]).expect("a valid configuration");
    let text = format!("{config:?}");
    assert!(!text.contains("secret@") && !text.contains(KEY.1), "{text}");
}
