//! hyper with nothing around it: what an answer costs at least in this language on this machine.
//!
//! It sends what the origin was recorded to send, byte for byte, with as long a header: the id and the time of
//! one request stand for those of all.

use crate::answers::{Recorded, read};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

struct Ready {
    headers: HeaderMap,
    body: Bytes,
}

/// By path: for those who take no coding, and for those who do.
type Table = HashMap<String, [Ready; 2]>;

/// Serves recorded answers until the process is ended.
pub(crate) async fn serve(answers: &Path, address: SocketAddr) -> Result<()> {
    let table = Arc::new(table(read(answers)?)?);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let table = table.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(&table, &request)))
            });
            // A client that leaves is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(table: &Table, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let coded = request.headers().contains_key(header::ACCEPT_ENCODING);
    match table.get(request.uri().path()) {
        Some(answers) => {
            let ready = &answers[usize::from(coded)];
            let mut response = Response::new(Full::new(ready.body.clone()));
            response.headers_mut().clone_from(&ready.headers);
            response
        }
        None => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

fn table(recorded: Vec<Recorded>) -> Result<Table> {
    let mut table = Table::new();
    for one in recorded {
        let [plain, coded] = one.answers.map(|answer| {
            let headers: Result<HeaderMap> = answer
                .headers
                .into_iter()
                .map(|(name, value)| {
                    let name: HeaderName = name.parse().context("a name of a header")?;
                    Ok((name, HeaderValue::try_from(value)?))
                })
                .collect();
            anyhow::Ok(Ready {
                headers: headers?,
                body: answer.body.into(),
            })
        });
        table.insert(one.target, [plain?, coded?]);
    }
    Ok(table)
}
