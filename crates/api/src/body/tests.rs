use super::*;
use pitchey_model::Format;

fn parse(text: &str) -> Fields {
    Fields::parse(text.as_bytes()).expect("it is an object")
}

/// What was wrong, as `pointer code`.
fn wrong(fields: Fields) -> Vec<String> {
    let problem = fields.finish().expect_err("something is wrong");
    let response = problem.into_response_for(None);
    let body = futures_free_body(response);
    let document: Value = serde_json::from_slice(&body).expect("it is JSON");
    let errors = document["errors"].as_array().cloned().unwrap_or_default();
    errors
        .iter()
        .map(|e| {
            format!(
                "{} {}",
                e["pointer"].as_str().unwrap_or("?"),
                e["code"].as_str().unwrap_or("?")
            )
        })
        .collect()
}

fn futures_free_body(response: axum::response::Response) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let bytes = runtime.block_on(axum::body::to_bytes(response.into_body(), usize::MAX));
    bytes.expect("a body in memory").to_vec()
}

#[test]
fn everything_that_is_wrong_is_told_at_once_by_pointer() {
    let mut fields = parse(
        r#"{"title": "  ", "format": "opera", "budget": {"amount": -1, "currency": 5, "x": 1},
            "genres": ["drama", 7, null], "a/b~c": 1, "text": "a\u0000b"}"#,
    );
    fields.required_line("title", 10);
    fields.word::<Format>("format");
    fields.object("budget", |budget| {
        budget.required_integer("amount", 0..=9);
        budget.required_line("currency", 3);
        Some(())
    });
    fields.array("genres", 8, |genres, name| genres.line(name, 20));
    fields.line("text", 10);
    fields.required_line("logline", 10);
    assert_eq!(
        wrong(fields),
        [
            "/a~1b~0c unknown_field",
            "/budget/amount out_of_range",
            "/budget/currency type",
            "/budget/x unknown_field",
            "/format unknown_value",
            "/genres/1 type",
            "/genres/2 type",
            "/logline missing",
            "/text control_character",
            "/title empty",
        ]
    );
}

#[test]
fn null_takes_away_only_what_can_be_taken_away() {
    let mut fields = parse(r#"{"year": null, "title": null}"#);
    assert_eq!(
        fields.nullable("year", |f, name| f.integer(name, 0..=9)),
        Some(None)
    );
    assert_eq!(
        fields.nullable("budget", |f, name| f.integer(name, 0..=9)),
        None
    );
    assert_eq!(fields.line("title", 9), None);
    assert_eq!(wrong(fields), ["/title type"]);
}

#[test]
fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
    let mut fields = parse(
        r#"{"a": 3.0, "b": 3.5, "c": 1e400, "d": "3", "e": 1e3}"#
            .replace("1e400", "1e300")
            .as_str(),
    );
    assert_eq!(fields.integer("a", 0..=9), Some(3));
    assert_eq!(fields.integer("e", 0..=1000), Some(1000));
    for name in ["b", "c", "d"] {
        assert_eq!(fields.integer(name, 0..=9), None);
    }
    assert_eq!(wrong(fields), ["/b type", "/c type", "/d type"]);
}

#[test]
fn what_is_not_json_or_nested_without_end_is_malformed() {
    let deep = "[".repeat(100_000);
    let nested = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    for bad in [
        "",
        "{",
        "{}x",
        "\u{feff}{}",
        "{\"a\": \"\\ud800\"}",
        "nul",
        &deep,
        &nested,
    ] {
        let problem = Fields::parse(bad.as_bytes()).expect_err("it cannot be read");
        assert_eq!(problem.kind(), Kind::MalformedRequest);
    }
    assert_eq!(
        Fields::parse(b"\"\xff\"")
            .map_err(|problem| problem.kind())
            .err(),
        Some(Kind::MalformedRequest)
    );
    for other in ["[]", "1", "null", "\"{}\""] {
        let problem = Fields::parse(other.as_bytes()).expect_err("it is no object");
        assert_eq!(problem.kind(), Kind::InvalidContent);
    }
}

#[test]
fn only_json_in_utf8_without_a_coding_is_taken() {
    let of = |lines: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        check_type(&headers).is_ok()
    };
    assert!(of(&[("content-type", "application/json")]));
    assert!(of(&[("content-type", "Application/JSON; charset=UTF-8")]));
    assert!(of(&[("content-type", "application/merge-patch+json")]));
    assert!(!of(&[]));
    assert!(!of(&[("content-type", "text/plain")]));
    assert!(!of(&[("content-type", "application/json; charset=latin1")]));
    assert!(!of(&[
        ("content-type", "application/json"),
        ("content-type", "text/plain")
    ]));
    assert!(!of(&[
        ("content-type", "application/json"),
        ("content-encoding", "gzip")
    ]));
}
