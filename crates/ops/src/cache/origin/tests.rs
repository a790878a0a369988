//! The client against a server that says what it is told to say.

use super::*;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn an_origin_is_a_scheme_and_a_host() {
    for (text, shown) in [
        ("https://pitchey.example", "https://pitchey.example"),
        ("http://127.0.0.1:8788/", "http://127.0.0.1:8788"),
        ("HTTP://[::1]:80", "http://[::1]:80"),
    ] {
        let url = text.parse::<OriginUrl>().map(|url| url.to_string());
        assert_eq!(url.as_deref(), Ok(shown));
    }
    for text in [
        "",
        "/",
        "pitchey.example",
        "pitchey.example:443",
        "ftp://pitchey.example",
        "https://",
        "https://pitchey.example/api",
        "https://pitchey.example/?x",
        "https://ann:secret@pitchey.example",
        "https://pitchey.example:99999",
    ] {
        assert!(text.parse::<OriginUrl>().is_err(), "{text}");
    }
}

#[test]
fn what_leaves_the_machine_without_tls_can_be_read() {
    let clear = |text: &str| {
        let url: OriginUrl = text.parse().expect("an origin");
        url.is_in_the_clear()
    };
    for text in [
        "http://pitchey.example",
        "http://192.0.2.1:8788",
        "http://[2001:db8::1]",
    ] {
        assert!(clear(text), "{text}");
    }
    for text in [
        "https://pitchey.example",
        "http://127.0.0.1",
        "http://[::1]:1",
        "http://localhost",
    ] {
        assert!(!clear(text), "{text}");
    }
}

/// A server that gives these answers, one after the other, and then closes what is opened. Dropping it ends it.
struct Scripted {
    url: OriginUrl,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut answers = answers.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(answer) = answers.next() else {
                    continue;
                };
                let request = request(&mut stream).await;
                note(&noted, request);
                // Who has read enough of it goes.
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        let url = format!("http://{address}").parse();
        Self {
            url: url.expect("an origin"),
            asked,
            _tasks: tasks,
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, ANSWER_TIMEOUT).expect("a client")
    }

    /// What was asked: the first line, the headers that matter, and the body.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut asked)
    }
}

fn note(asked: &Mutex<Vec<String>>, request: String) {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(request);
}

async fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.expect("a line");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let value = |name: &str| line.strip_prefix(name).map(str::trim);
        if let Some(value) = value("content-length:") {
            length = value.parse().expect("a length");
        } else if value("cookie:").is_some() || value("x-csrf-token:").is_some() {
            text.push_str(" | ");
            text.push_str(line);
        } else if let Some(line) = line.strip_suffix(" HTTP/1.1") {
            text.push_str(line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.expect("a body");
    if !body.is_empty() {
        text.push_str(" | ");
        text.push_str(&String::from_utf8_lossy(&body));
    }
    text
}

fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let length = format!("content-length: {}\r\n\r\n", body.len());
    (text + &length + body).into_bytes()
}

const JSON: &str = "content-type: application/json";
const PROBLEM: &str = "content-type: application/problem+json";

fn signed_in() -> Vec<u8> {
    let cookie = "set-cookie: __Host-session=abc; Path=/; Secure; HttpOnly";
    answer("200 OK", &[JSON, cookie], r#"{"csrf_token": "xyz"}"#)
}

fn refused(status: &str, kind: &str, more: &[&str]) -> Vec<u8> {
    let number: u16 = status[..3].parse().expect("a status");
    let body = json!({"type": format!("/problems/{kind}"), "title": kind, "status": number, "detail": "no"});
    answer(status, &[&[PROBLEM], more].concat(), &body.to_string())
}

fn signed_out() -> Vec<u8> {
    answer("204 No Content", &[], "")
}

/// Signs in and asks for the status; gives what was said, and what came of it.
async fn as_root(client: &Client) -> Result<Value, String> {
    let email: Email = "root@example.org".parse().expect("an address");
    let mut said = Value::Null;
    let done = client.as_admin(&email, "secret".into(), async |admin| {
        said = admin.get("/api/cache/status").await?;
        Ok(ExitCode::SUCCESS)
    });
    match done.await {
        Ok(_) => Ok(said),
        Err(error) => Err(format!("{error:#}")),
    }
}

const SIGN_IN: &str = r#"POST /api/auth/login | {"email":"root@example.org","password":"secret"}"#;
const ASK: &str = "GET /api/cache/status | cookie: __Host-session=abc | x-csrf-token: xyz";
const SIGN_OUT: &str = "POST /api/auth/logout | cookie: __Host-session=abc | x-csrf-token: xyz";

/// Headers of a request come in the order of a map.
fn sorted(asked: &[String]) -> Vec<String> {
    let sort = |line: &String| {
        let mut parts: Vec<&str> = line.split(" | ").collect();
        parts[1..].sort_unstable();
        parts.join(" | ")
    };
    asked.iter().map(sort).collect()
}

#[tokio::test]
async fn who_signs_in_signs_out() {
    let says = answer("200 OK", &[JSON], r#"{"era": 1}"#);
    let server = Scripted::start(vec![signed_in(), says, signed_out()]).await;
    assert_eq!(as_root(&server.client()).await, Ok(json!({"era": 1})));
    assert_eq!(sorted(&server.asked()), [SIGN_IN, ASK, SIGN_OUT]);
}

#[tokio::test]
async fn who_may_not_ask_signs_out_all_the_same() {
    let no = refused("403 Forbidden", "forbidden", &[]);
    let server = Scripted::start(vec![signed_in(), no, signed_out()]).await;
    let told = as_root(&server.client()).await.expect_err("refused");
    let url = &server.url;
    let expected = format!("root@example.org is no administrator of {url}: forbidden (403): no");
    assert_eq!(told, expected);
    assert_eq!(sorted(&server.asked()), [SIGN_IN, ASK, SIGN_OUT]);
}

#[tokio::test]
async fn who_cannot_sign_in_asks_nothing() {
    let wrong = refused("401 Unauthorized", "wrong-credentials", &[]);
    let server = Scripted::start(vec![wrong]).await;
    let told = as_root(&server.client()).await.expect_err("refused");
    assert_eq!(
        told,
        "cannot sign in as root@example.org: wrong-credentials (401): no"
    );
    assert_eq!(sorted(&server.asked()), [SIGN_IN]);
}

#[tokio::test]
async fn what_came_too_soon_is_sent_again_so_often_and_no_more() {
    let soon = || {
        refused(
            "429 Too Many Requests",
            "too-many-requests",
            &["retry-after: 0"],
        )
    };
    let greeted = || answer("200 OK", &[JSON], r#"{"session": null}"#);
    let server = Scripted::start(vec![soon(), soon(), soon(), greeted()]).await;
    server.client().greet().await.expect("an origin");
    assert_eq!(server.asked().len(), 4);
    let server = Scripted::start(vec![soon(), soon(), soon(), soon(), greeted()]).await;
    let told = server.client().greet().await.expect_err("too often");
    assert_eq!(
        told.to_string(),
        "too-many-requests (429): no; again in 0 s"
    );
    assert_eq!(server.asked().len(), 4);
    // Nobody sits before a terminal for an hour.
    let later = refused(
        "429 Too Many Requests",
        "too-many-requests",
        &["retry-after: 3600"],
    );
    let server = Scripted::start(vec![later]).await;
    let told = server.client().greet().await.expect_err("too long");
    assert!(told.to_string().ends_with("again in 3600 s"), "{told}");
}

#[tokio::test]
async fn what_is_no_origin_is_sent_no_password() {
    let page = answer("200 OK", &["content-type: text/html"], "<html>");
    let other = answer("200 OK", &[JSON], "{}");
    let missing = answer("404 Not Found", &["content-type: text/plain"], "not found");
    let moved = answer("301 Moved", &["location: https://other.example/"], "");
    for (says, told) in [
        (page, "status 200 with text/html"),
        (other, "its JSON has another shape: missing field `session`"),
        (missing, "status 404 with text/plain"),
        (moved, "status 301, which leads to https://other.example/"),
    ] {
        let server = Scripted::start(vec![says]).await;
        let error = Client::reach(&server.url).await.expect_err("no origin");
        let url = &server.url;
        let head =
            format!("{url} does not answer as an origin of Pitchey to GET /api/auth/session");
        let error = format!("{error:#}");
        assert!(error.starts_with(&format!("{head}: {told}")), "{error}");
        assert_eq!(server.asked(), ["GET /api/auth/session"]);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_read_to_its_end() {
    let much = "x".repeat(MAX_ANSWER + 1);
    let server = Scripted::start(vec![answer("200 OK", &[JSON], &much)]).await;
    let error = server.client().greet().await.expect_err("too much");
    let error = format!("{error:#}");
    assert!(
        error.ends_with("cannot be asked: length limit exceeded"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_told() {
    // The system takes connections to it, and nobody else does.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url: OriginUrl = format!("http://{address}").parse().expect("an origin");
    let silent = Client::new(&url, Duration::from_millis(20)).expect("a client");
    let error = silent.greet().await.expect_err("silence");
    assert_eq!(
        error.to_string(),
        format!("{url} does not answer within 20ms")
    );
    drop(listener);
    let error = Client::reach(&url).await.expect_err("nobody");
    let error = format!("{error:#}");
    assert!(
        error.starts_with(&format!("{url} cannot be asked: ")),
        "{error}"
    );
    assert!(error.contains("Connection refused"), "{error}");
}

#[test]
fn secrets_are_not_in_what_is_printed_for_debugging() {
    let headers = [(COOKIE, secret("__Host-session=abc"))];
    let headers = headers.map(|(name, value)| (name, value.expect("a value")));
    let headers: HeaderMap = headers.into_iter().collect();
    assert!(!format!("{headers:?}").contains("abc"));
}
