//! Who is answered, and what is wrong with all others.

use http::header::AUTHORIZATION;
use time::Duration;

use super::*;

const SECRET: &[u8] = b"what operators of this edge sign their requests with";
const PURGE: &str = "/__edge/purge";

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("a time")
}

fn desk() -> Desk {
    Desk::new(DeskSecret::new(SECRET), start())
}

/// A request as it is sent, signed as it is.
struct Sent {
    method: Method,
    target: &'static str,
    at: OffsetDateTime,
    nonce: &'static str,
    body: &'static [u8],
    secret: &'static [u8],
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            method: Method::POST,
            target: PURGE,
            at: start(),
            nonce: "0123456789abcdef",
            body: br#"{"tags":["lists"]}"#,
            secret: SECRET,
        }
    }
}

impl Sent {
    fn headers(&self) -> HeaderMap {
        let secret = DeskSecret::new(self.secret).expect("long enough");
        let value = secret.sign(&Signing {
            method: &self.method,
            target: self.target,
            timestamp: milliseconds(self.at),
            nonce: self.nonce,
            body: self.body,
        });
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn to(&self, desk: &Desk, now: OffsetDateTime) -> Result<Ask, Refused> {
        let admitted = desk.admit(&self.method, self.target, &self.headers(), now)?;
        desk.open(&admitted, self.body, now)
    }
}

#[test]
fn what_is_signed_is_heard_once() {
    let desk = desk();
    let sent = Sent::default();
    let purge = Purge {
        tags: vec!["lists".into()],
        ..Purge::default()
    };
    assert_eq!(sent.to(&desk, start()), Ok(Ask::Purge(purge)));
    assert_eq!(sent.to(&desk, start()), Err(Refused::Replayed));
    let other = Sent {
        nonce: "0123456789abcdeg",
        ..sent
    };
    assert!(other.to(&desk, start()).is_ok());
    for (target, ask) in [
        ("/__edge/status", Ask::Status),
        ("/__edge/routes", Ask::Routes),
    ] {
        let sent = Sent {
            method: Method::GET,
            target,
            nonce: if ask == Ask::Status {
                "s123456789abcdef"
            } else {
                "r123456789abcdef"
            },
            body: b"",
            ..Sent::default()
        };
        assert_eq!(sent.to(&desk, start()), Ok(ask));
    }
}

/// What others who sign must come to: made by Python's `hmac` and `hashlib`.
#[test]
fn a_signature_is_what_the_documentation_says() {
    let headers = Sent::default().headers();
    let signature = "052a26573f7dda173adff1a65c6f9d5aa29dd769bb90536ec636c136a7e51af0";
    let expected = format!(
        "Pitchey-Edge-Hmac-Sha256 timestamp=1700000000000, nonce=0123456789abcdef, \
         signature={signature}"
    );
    assert_eq!(headers[AUTHORIZATION], expected);
}

#[test]
fn everything_that_matters_is_signed() {
    let desk = desk();
    let sent = Sent::default();
    let open = |method: &Method, target: &str, headers: &HeaderMap, body: &[u8]| {
        let admitted = desk.admit(method, target, headers, start())?;
        desk.open(&admitted, body, start())
    };
    let headers = sent.headers();
    let refused = Err(Refused::Signature);
    assert_eq!(open(&sent.method, PURGE, &headers, b"{}"), refused);
    assert_eq!(
        open(&sent.method, "/__edge/warm", &headers, sent.body),
        refused
    );
    assert_eq!(
        open(&sent.method, "/__edge/purge?x", &headers, sent.body),
        refused
    );
    let line = headers[AUTHORIZATION].to_str().expect("text");
    for (from, to) in [
        ("timestamp=1700000000000", "timestamp=1700000000001"),
        ("nonce=0", "nonce=1"),
    ] {
        let line = HeaderValue::try_from(line.replace(from, to)).expect("a value");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, line)]);
        assert_eq!(
            open(&sent.method, PURGE, &headers, sent.body),
            refused,
            "{to}"
        );
    }
    let other = Sent {
        secret: b"what operators of another edge sign their requests with",
        ..Sent::default()
    };
    assert_eq!(other.to(&desk, start()), refused);
    // None of it has used up the nonce.
    assert!(sent.to(&desk, start()).is_ok());
}

#[test]
fn what_is_late_early_or_from_before_is_refused() {
    let desk = desk();
    let window = Duration::milliseconds(WINDOW_MS);
    let late = start() + window + Duration::milliseconds(1);
    let now = milliseconds(late);
    assert_eq!(Sent::default().to(&desk, late), Err(Refused::Time { now }));
    let early = Sent {
        at: late,
        ..Sent::default()
    };
    let now = milliseconds(start());
    assert_eq!(early.to(&desk, start()), Err(Refused::Time { now }));
    let before = Sent {
        at: start() - Duration::milliseconds(1),
        ..Sent::default()
    };
    let began = milliseconds(start());
    assert_eq!(before.to(&desk, start()), Err(Refused::Before { began }));
    assert!(Sent::default().to(&desk, start() + window).is_ok());
    // It is known for as long as it would be taken.
    assert_eq!(
        Sent::default().to(&desk, start() + window),
        Err(Refused::Replayed)
    );
}

#[test]
fn doors_that_are_not_there_and_other_methods_are_told_apart() {
    let sent = Sent::default();
    let shut = Desk::new(None, start());
    assert_eq!(sent.to(&shut, start()), Err(Refused::NotHere));
    let nowhere = Sent {
        target: "/__edge/other",
        ..Sent::default()
    };
    assert_eq!(nowhere.to(&desk(), start()), Err(Refused::NotHere));
    let read = Sent {
        method: Method::GET,
        ..Sent::default()
    };
    let takes = Refused::Method(Method::POST);
    assert_eq!(read.to(&desk(), start()), Err(takes));
    assert!(DeskSecret::new(b"short").is_none());
}

#[test]
fn what_is_no_signature_is_told() {
    let desk = desk();
    let signature = "00".repeat(32);
    let whole = format!("timestamp=1, nonce=0123456789abcdef, signature={signature}");
    let refused = |lines: &[String]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_str(line).expect("a value");
            headers.append(AUTHORIZATION, line);
        }
        let admitted = desk.admit(&Method::POST, PURGE, &headers, start());
        admitted.expect_err("it is no signature").to_string()
    };
    let scheme = sign::SCHEME;
    let mut report = vec![refused(&[])];
    for line in [
        "Bearer x".to_owned(),
        scheme.to_owned(),
        format!("{scheme} {whole}, nonce=0123456789abcdef"),
        format!("{scheme} {whole}, other=1"),
        format!("{scheme} timestamp=1, nonce=0123456789abcdef"),
        format!("{scheme} {}", whole.replace("abcdef", "")),
        format!("{scheme} {}", whole.replace("abcdef", "abc ef")),
        format!("{scheme} {}", whole.replace("=1,", "=+1,")),
        format!(
            "{scheme} {}",
            whole.replace("=1,", "=99999999999999999999,")
        ),
        format!("{scheme} {}", whole.replace("00", "0")),
        format!("{scheme} {}", whole.replace("00", "0x")),
    ] {
        report.push(refused(&[line]));
    }
    let line = format!("{scheme} {whole}");
    report.push(refused(&[line.clone(), line]));
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn everything_that_is_wrong_with_a_request_is_told_at_once() {
    let wrong = |outcome: Result<Ask, Refused>| match outcome {
        Err(Refused::Wrong(errors)) => errors.join("\n"),
        other => format!("{other:?}"),
    };
    let purge = |body: &str| wrong(Purge::read(body.as_bytes()).map(Ask::Purge));
    let warm = |body: &str| wrong(Warm::read(body.as_bytes()).map(Ask::Warm));
    let list = |name: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("\"/{n}\"")).collect();
        format!("{{\"{name}\":[{}]}}", names.join(","))
    };
    let long = "x".repeat(1025);
    let report = [
        purge(""),
        purge("{}"),
        purge(r#"{"tag":["lists"]}"#),
        purge(&format!(
            r#"{{"tags":["","a\nb","{long}"],"keys":["a","/a b"],"prefixes":["/#x"]}}"#
        )),
        purge(&list("keys", 501)),
        purge(&list("prefixes", 11)),
        warm(r#"{"paths":[]}"#),
        warm(r#"{"paths":["http://elsewhere/"],"accept_encoding":"a\nb"}"#),
        warm(&list("paths", 201)),
    ];
    insta::assert_snapshot!(report.join("\n\n"));
    assert!(Purge::read(list("keys", 500).as_bytes()).is_ok());
    assert!(Warm::read(list("paths", 200).as_bytes()).is_ok());
}
