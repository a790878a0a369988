//! The gateway with TLS of its own.

use crate::cache_site::PATIENCE;
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pitchey_testkit::{Gateway, Program};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Write as _;
use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, block_in_place};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "edge.test";

/// A certificate for the name and its key, as files are.
fn certified() -> Result<CertifiedKey<KeyPair>> {
    Ok(rcgen::generate_simple_self_signed([NAME.to_owned()])?)
}

fn write(home: &Path, certified: &CertifiedKey<KeyPair>) -> Result<()> {
    std::fs::write(home.join("key.pem"), certified.signing_key.serialize_pem())?;
    std::fs::write(home.join("certificate.pem"), certified.cert.pem())?;
    Ok(())
}

fn program(origin: &str, home: &Path) -> Program {
    let file = |name: &str| home.join(name).display().to_string();
    Gateway::program(origin)
        .env("GATEWAY_TLS__CERTIFICATE", file("certificate.pem"))
        .env("GATEWAY_TLS__KEY", file("key.pem"))
        .env("GATEWAY_TLS__RELOAD_MS", "20")
        .env("GATEWAY_HTTP__HEADER_TIMEOUT_MS", "500")
}

/// A connection of one who trusts this certificate alone and speaks these protocols.
async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME)?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?)
}

fn request() -> Result<Request<Empty<Bytes>>> {
    let request = Request::get(format!("https://{NAME}/")).header("host", NAME);
    Ok(request.body(Empty::new())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_are_spoken_in_private_and_the_origin_knows() -> Result<()> {
    let home = tempfile::tempdir()?;
    let certified = certified()?;
    write(home.path(), &certified)?;
    let upstream = Upstream::start(|_| ready(Reply::new(200, "in private"))).await?;
    let program = program(&upstream.url(), home.path());
    let gateway = block_in_place(|| Gateway::start_silent(&program))?;
    let trusted = certified.cert.der();
    let mut running = JoinSet::new();

    let stream = connect(gateway.address(), trusted, &[b"h2", b"http/1.1"]).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    running.spawn(connection);
    let answer = sender.send_request(request()?).await?;
    let told = (answer.status(), answer.version());
    assert_eq!(told, (StatusCode::OK, Version::HTTP_2));

    let stream = connect(gateway.address(), trusted, &[]).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    running.spawn(connection);
    let answer = sender.send_request(request()?).await?;
    let told = (answer.status(), answer.version());
    assert_eq!(told, (StatusCode::OK, Version::HTTP_11));

    for seen in upstream.seen() {
        assert_eq!(seen.header("x-forwarded-proto"), "https");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_or_says_nothing_is_left_and_others_are_served() -> Result<()> {
    let home = tempfile::tempdir()?;
    let certified = certified()?;
    write(home.path(), &certified)?;
    let upstream = Upstream::start(|_| ready(Reply::new(200, ""))).await?;
    let program = program(&upstream.url(), home.path());
    let gateway = block_in_place(|| Gateway::start_silent(&program))?;
    for said in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b""] {
        let mut stream = TcpStream::connect(gateway.address()).await?;
        stream.write_all(said).await?;
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        let _ = ended.context("it is not left")?;
        let heard = String::from_utf8_lossy(&heard);
        assert!(!heard.contains("HTTP"), "{heard}");
    }
    assert_eq!(upstream.seen().len(), 0);
    connect(gateway.address(), certified.cert.der(), &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() -> Result<()> {
    let home = tempfile::tempdir()?;
    let first = certified()?;
    write(home.path(), &first)?;
    let upstream = Upstream::start(|_| ready(Reply::new(200, ""))).await?;
    let program = program(&upstream.url(), home.path());
    let gateway = block_in_place(|| Gateway::start_silent(&program))?;
    let shows = async |certified: &CertifiedKey<KeyPair>| {
        connect(gateway.address(), certified.cert.der(), &[])
            .await
            .is_ok()
    };
    assert!(shows(&first).await);
    // The key of another: it is told, and nothing changes.
    let second = certified()?;
    std::fs::write(home.path().join("certificate.pem"), second.cert.pem())?;
    let until = Instant::now() + PATIENCE;
    while !gateway.log().contains("the certificate stays as it was") {
        ensure!(Instant::now() < until, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(shows(&first).await && !shows(&second).await);
    write(home.path(), &second)?;
    let until = Instant::now() + PATIENCE;
    while !shows(&second).await {
        ensure!(Instant::now() < until, "{}", gateway.log());
    }
    assert!(!shows(&first).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_files_is_told_at_the_start() -> Result<()> {
    let home = tempfile::tempdir()?;
    let [one, other] = [certified()?, certified()?];
    let mut report = String::new();
    let mut start = |what: &str, program: Program| -> Result<()> {
        let output = block_in_place(|| program.run(Duration::from_mins(1)))?;
        let code = output.status.code().unwrap_or(-1);
        let path = home.path().display().to_string();
        let told = output.stderr.replace(&path, "HOME");
        // What went before is a log line with a time.
        let told = told
            .lines()
            .skip_while(|line| !line.starts_with("gateway:"));
        let told: Vec<_> = told.collect();
        let _ = writeln!(report, "{what}: {code}\n{}\n", told.join("\n"));
        Ok(())
    };
    let ours = || {
        let listen = ["--listen", "127.0.0.1:0"];
        program("http://127.0.0.1:9", home.path()).args(listen)
    };
    start("no files", ours())?;
    std::fs::write(home.path().join("certificate.pem"), one.cert.pem())?;
    std::fs::write(home.path().join("key.pem"), "nothing of this kind")?;
    start("no key", ours())?;
    std::fs::write(
        home.path().join("key.pem"),
        other.signing_key.serialize_pem(),
    )?;
    start("the key of another", ours())?;
    start("a certificate alone", ours().env("GATEWAY_TLS__KEY", ""))?;
    insta::assert_snapshot!(report);
    Ok(())
}
