//! A folder of static files, as the origin of the cache that serves them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use pitchey_api::edge::best_codings;
use pitchey_edge::{CODED, FetchError, asset_fields, asset_name};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

/// The most bytes of a file.
const MOST: u64 = 64 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// A file in the coding that it is sent in.
struct File {
    content: Vec<u8>,
    coding: Option<&'static str>,
}

impl Folder {
    /// A folder that is there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let there = path.metadata();
        let there = there.with_context(|| format!("assets.directory: {}", path.display()))?;
        ensure!(
            there.is_dir(),
            "assets.directory: {} is none",
            path.display()
        );
        Ok(Self(path.to_owned()))
    }

    /// What the folder has for a request.
    pub(crate) async fn fetch(&self, asked: &Parts) -> Result<Response<Bytes>, FetchError> {
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "Files are read.");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let Some(name) = asset_name(asked.uri.path()) else {
            return Ok(missing());
        };
        let codings = CODED.map(|(_, coding)| coding);
        let wanted = best_codings(&asked.headers, &codings);
        let path = self.0.join(name);
        let read = move || read(&path, wanted);
        let file = spawn_blocking(read).await;
        let file = file.map_err(|error| FetchError::Failed(error.into()))?;
        match file {
            Ok(file) => Ok(said(name, file, &asked.headers)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(missing()),
            Err(error) => {
                tracing::error!(name, %error, "a static file cannot be read");
                Err(FetchError::Failed(error.into()))
            }
        }
    }
}

/// A file in the best of the codings that it lies there in, which come in their order.
fn read(path: &Path, wanted: Vec<&'static str>) -> std::io::Result<File> {
    for coding in wanted {
        let Some((ending, _)) = CODED.iter().find(|(_, known)| *known == coding) else {
            continue;
        };
        let mut coded = path.as_os_str().to_owned();
        coded.push(ending);
        match read_one(Path::new(&coded)) {
            Ok(content) => {
                let coding = Some(coding);
                return Ok(File { content, coding });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let content = read_one(path)?;
    Ok(File {
        content,
        coding: None,
    })
}

fn read_one(path: &Path) -> std::io::Result<Vec<u8>> {
    let there = path.metadata()?;
    if there.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    if there.len() > MOST {
        return Err(std::io::Error::other(format!("more than {MOST} bytes")));
    }
    std::fs::read(path)
}

fn said(name: &str, file: File, asked: &HeaderMap) -> Response<Bytes> {
    let File { content, coding } = file;
    // Alike at every gateway that has the same file.
    let digest = Sha256::digest(&content);
    let tag = URL_SAFE_NO_PAD.encode(&digest[..16]);
    let media_type = mime_guess::from_path(name).first_or_octet_stream();
    let text = match media_type.type_() {
        mime_guess::mime::TEXT => format!("{media_type}; charset=utf-8"),
        _ => media_type.to_string(),
    };
    let fields = asset_fields(name, &text, coding, &tag);
    let known = asked.get(IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| fields.get(ETAG) == Some(known));
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = fields;
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let length = HeaderValue::from(content.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        *response.body_mut() = content.into();
    }
    response
}

/// That there is no such file; there may be one in a moment.
fn missing() -> Response<Bytes> {
    problem(StatusCode::NOT_FOUND, "There is no such file.")
}

fn problem(status: StatusCode, detail: &str) -> Response<Bytes> {
    let title = status.canonical_reason();
    let text = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    let text = text.to_string();
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = text.into();
    response
}
