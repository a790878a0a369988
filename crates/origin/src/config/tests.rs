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
      http.colour: no such key, there are address, max_connections, header_timeout_ms, idle_timeout_ms, request_timeout_ms, max_header_bytes, max_body_bytes, drain_delay_ms, shutdown_timeout_ms, allowed_origins, trusted_proxies, database_time (PITCHEY_HTTP__COLOUR)
      http.drain_delay_ms: -1 is not a whole number above or at zero (wrong.toml)
      http.max_conections: no such key, there are address, max_connections, header_timeout_ms, idle_timeout_ms, request_timeout_ms, max_header_bytes, max_body_bytes, drain_delay_ms, shutdown_timeout_ms, allowed_origins, trusted_proxies, database_time (wrong.toml)
      http.request_timeout_ms: "5s" is not a whole number above or at zero (PITCHEY_HTTP__REQUEST_TIMEOUT_MS)
      metrics: "on" is not a section (PITCHEY_METRICS)
      database.max_connections: "many" is not a whole number above or at zero (wrong.toml)
      log.format: "xml" is none of json, pretty (wrong.toml)
      cursor.key: is not text (wrong.toml)
      cache.size: no such key, there are url, alone, prefix, memory_mib, timeout_ms, silence_ms, edge_key, warm, pitch_detail, pitch_list, search, user_profile, session (wrong.toml)
      level: no such section, there are cache, counters, cursor, database, duties, http, limits, log, metrics, overload, passwords, realtime, sessions (PITCHEY_LEVEL)
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
fn replicas_are_named_and_their_passwords_are_not_shown() {
    let replicas = |text| load(None, &[DATABASE, KEY, ("PITCHEY_DATABASE__REPLICAS", text)]);
    let config = replicas(
        r#"[{url="postgres://me:secret@near/pitchey",name="near"},{url="postgres://far/pitchey",name="far",distance=2}]"#,
    )
    .expect("two replicas");
    let text = config.to_redacted_toml().expect("TOML");
    assert!(
        text.contains("postgres://[redacted]@near/pitchey"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    let error =
        replicas(r#"[{url="mysql://me:secret@x/y",name="a"},{url="postgres://x/y",name="a"}]"#)
            .expect_err("neither can work");
    assert_eq!(
        error.problems,
        [
            "database.replicas.0.url: does not start with postgres://",
            "database.replicas.1.name: is another's, too"
        ]
    );
    let error = replicas("postgres://me:secret@near/pitchey").expect_err("that is no list");
    assert!(!error.to_string().contains("secret"), "{error}");
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
    allowed_origins = []
    trusted_proxies = []
    database_time = true

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
    connection_check_ms = 100
    max_queued = 256
    slow_statement_ms = 250
    replica_max_lag_ms = 2000
    replica_ask_timeout_ms = 20
    announce_positions = false
    tls = "prefer"

    [log]
    format = "json"
    filter = "info"

    [cursor]
    key = "[redacted]"

    [sessions]
    idle_minutes = 10080
    absolute_days = 30

    [passwords]
    memory_kib = 19456
    iterations = 2
    parallelism = 1
    queue = 64
    max_wait_ms = 4000

    [limits]
    read = "off"
    search = "200 then 20/s"
    write = "60 then 2/s"
    auth = "10 then 10/min"
    account = "10 then 2/min"
    account_total = "100 then 20/min"
    beacon = "100 then 10/s"

    [overload]
    max_in_flight = 64
    min_in_flight = 24
    max_queued = 256
    target_ms = 5
    interval_ms = 100
    retry_after_ms = 1000

    [counters]
    max_delay_ms = 1000
    batch = 1000
    max_views = 50000
    max_rum = 20000
    max_events = 20000
    write_timeout_ms = 5000
    stop_timeout_ms = 5000

    [duties]
    partitions_interval_ms = 3600000
    clean_up_interval_ms = 60000
    scores_interval_ms = 60000
    statistics_interval_ms = 600000
    timeout_ms = 300000

    [cache]
    url = ""
    alone = false
    prefix = "pitchey:"
    memory_mib = 256
    timeout_ms = 50
    silence_ms = 1000
    edge_key = ""
    warm = true

    [cache.pitch_detail]
    memory_s = 30
    shared_s = 180
    fresh_s = 1800
    stale_while_revalidate_s = 60
    stale_if_error_s = 3600
    negative_s = 10

    [cache.pitch_list]
    memory_s = 30
    shared_s = 180
    fresh_s = 300
    stale_while_revalidate_s = 60
    stale_if_error_s = 3600
    negative_s = 10

    [cache.search]
    memory_s = 15
    shared_s = 180
    fresh_s = 300
    stale_while_revalidate_s = 30
    stale_if_error_s = 600
    negative_s = 10

    [cache.user_profile]
    memory_s = 60
    shared_s = 300
    fresh_s = 3600
    stale_while_revalidate_s = 300
    stale_if_error_s = 3600
    negative_s = 10

    [cache.session]
    memory_s = 10
    shared_s = 60
    fresh_s = 60
    stale_while_revalidate_s = 0
    stale_if_error_s = 0
    negative_s = 5

    [realtime]
    ticket_key = ""
    publish_url = ""
    publish_key = ""
    "#);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &text).expect("written");
    let environment =
        [DATABASE, KEY].map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let again = Config::load(Some(file.path()), environment).expect("a file that is taken");
    assert_eq!(again.to_redacted_toml().expect("TOML"), text);
}

#[test]
fn a_time_that_is_given_is_shown_beside_the_defaults_of_its_kind() {
    let given = ("PITCHEY_CACHE__SEARCH__MEMORY_S", "7");
    let config = load(None, &[DATABASE, KEY, given]).expect("a valid configuration");
    let text = config.to_redacted_toml().expect("TOML");
    let (_, search) = text.split_once("[cache.search]").expect("the section");
    let expected = "\nmemory_s = 7\nshared_s = 180\nfresh_s = 300\n";
    assert!(search.starts_with(expected), "{search}");
}

#[test]
fn rules_of_every_section_are_told_at_once() {
    let error = load(
        None,
        &[
            DATABASE,
            KEY,
            (
                "PITCHEY_HTTP__ALLOWED_ORIGINS",
                r#"["https://pitchey.example/", "*"]"#,
            ),
            (
                "PITCHEY_HTTP__TRUSTED_PROXIES",
                r#"["10.0.0.0/8", "10.0.0.0/33", "proxy"]"#,
            ),
            ("PITCHEY_SESSIONS__IDLE_MINUTES", "2881"),
            ("PITCHEY_SESSIONS__ABSOLUTE_DAYS", "2"),
            ("PITCHEY_PASSWORDS__MEMORY_KIB", "4096"),
            ("PITCHEY_PASSWORDS__ITERATIONS", "1"),
            ("PITCHEY_PASSWORDS__THREADS", "0"),
            ("PITCHEY_LIMITS__READ", "5"),
            ("PITCHEY_LIMITS__WRITE", "often"),
            ("PITCHEY_LIMITS__PITCH", "off"),
            ("PITCHEY_OVERLOAD__MAX_IN_FLIGHT", "8"),
            ("PITCHEY_OVERLOAD__TARGET_MS", "200"),
            ("PITCHEY_COUNTERS__MAX_DELAY_MS", "1001"),
            ("PITCHEY_DUTIES__TIMEOUT_MS", "0"),
        ],
    )
    .expect_err("a lot is wrong");
    insta::assert_snapshot!(message(&error), @r#"
    configuration is not valid:
      limits.pitch: no such key, there are read, search, write, auth, account, account_total, beacon (PITCHEY_LIMITS__PITCH)
      limits.read: 5 is not text (PITCHEY_LIMITS__READ)
      limits.write: "often" is neither "off" nor a burst and a rate in s, min or h, like "60 then 2/s", each up to 1000000 (PITCHEY_LIMITS__WRITE)
      http.allowed_origins: "https://pitchey.example/" is not an origin as browsers send it, like https://pitchey.example
      http.allowed_origins: "*" is not an origin as browsers send it, like https://pitchey.example
      http.trusted_proxies: "10.0.0.0/33" is not a network like 10.0.0.0/8
      http.trusted_proxies: "proxy" is not a network like 10.0.0.0/8
      sessions.idle_minutes: is longer than sessions.absolute_days
      passwords.memory_kib: 4096 is not between 19456 and 1048576
      passwords.iterations: 1 is not between 2 and 64
      passwords.threads: 0 is not between 1 and 256
      overload.min_in_flight: 24 is not between 1 and 8
      overload.interval_ms: 100 is not between 200 and 60000
      counters.max_delay_ms: 1001 is not between 1 and 1000
      duties.timeout_ms: 0 is not between 100 and 900000
    "#);
}

#[test]
fn a_list_is_a_list() {
    for (key, value) in [
        ("PITCHEY_HTTP__TRUSTED_PROXIES", "10.0.0.0/8"),
        ("PITCHEY_HTTP__TRUSTED_PROXIES", "[1, 2]"),
    ] {
        let error = load(
            None,
            &[DATABASE, KEY, (key, value), ("PITCHEY_HTTP__COLOUR", "red")],
        );
        let problems = error.expect_err("no list of texts").problems;
        assert_eq!(problems.len(), 2, "both are told: {problems:?}");
        assert!(
            problems[1].starts_with("http.trusted_proxies"),
            "{problems:?}"
        );
    }
}

#[test]
fn what_the_parts_are_told_is_what_the_operator_wrote() {
    let environment = [
        DATABASE,
        KEY,
        (
            "PITCHEY_HTTP__ALLOWED_ORIGINS",
            r#"["https://pitchey.example"]"#,
        ),
        ("PITCHEY_HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8", "::1"]"#),
        ("PITCHEY_SESSIONS__IDLE_MINUTES", "90"),
        ("PITCHEY_LIMITS__AUTH", "off"),
        ("PITCHEY_LIMITS__READ", "5 then 1/s"),
        ("PITCHEY_HTTP__REQUEST_TIMEOUT_MS", "30000"),
    ];
    let config = load(None, &environment).expect("a valid configuration");
    let networks = config.http.trusted_networks();
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    let settings = config.site_settings();
    assert_eq!(settings.allowed_origins, ["https://pitchey.example"]);
    assert_eq!(settings.session_idle, std::time::Duration::from_mins(90));
    assert_eq!(settings.limits.auth, None);
    let read = settings.limits.read.expect("a limit");
    assert_eq!(
        (read.burst(), read.interval()),
        (5, std::time::Duration::from_secs(1))
    );
    let policies = config
        .cache
        .response_policies(config.http.request_timeout());
    for (kind, policy) in policies {
        // What a request may wait for, one who loads may wait for.
        assert_eq!(policy.hard_timeout.as_secs(), 30, "{kind}");
    }
}

#[test]
fn debugging_a_configuration_shows_no_secret() {
    let config = load(None, &[DATABASE, KEY]).expect("a valid configuration");
    let text = format!("{config:?}");
    assert!(!text.contains("secret@") && !text.contains(KEY.1), "{text}");
}
