//! A store of objects, as the origin of the cache that serves static files: which object a request means, and
//! what is said of it.

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use pitchey_api::edge::best_codings;

use crate::assets::{ASSETS, CODED, asset_fields, asset_name, media_type};
use crate::platform::FetchError;

/// The port to where static files lie. Every call ends within a deadline of the implementation's own.
pub trait Objects: Send + Sync {
    /// The body of an object.
    type Body: Send;

    /// What there is under a name.
    fn open(
        &self,
        name: &str,
        wanted: Wanted<'_>,
    ) -> impl Future<Output = Result<Opened<Self::Body>, FetchError>> + Send;
}

/// What is wanted of an object. Tags are those of the store, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Whether it is there, and how long it is; its body is not read.
    Head,
    /// The whole, unless it has this tag.
    Whole {
        /// The tag of what is known.
        known: Option<&'a str>,
    },
    /// Some of its bytes, if it still has this tag.
    Part {
        /// The tag.
        tag: &'a str,
        /// The first of them.
        first: u64,
        /// How many they are, at least one; all of them are there.
        length: u64,
    },
}

/// What was found.
#[derive(Debug)]
pub enum Opened<B> {
    /// No object.
    Missing,
    /// One that has the tag that is known, or not the tag that it must have.
    Unwanted,
    /// An object.
    Found {
        /// Its tag, without quotes: another content has another one.
        tag: String,
        /// How long the whole of it is.
        length: u64,
        /// What was wanted of it.
        body: B,
    },
}

/// The body of an answer about a file.
#[derive(Debug)]
pub enum AssetBody<B> {
    /// None, or a problem document.
    Text(String),
    /// The object's.
    Object(B),
}

/// What the store has for a request. Parts are taken there of what is longer than `largest` bytes: of anything
/// else the cache takes them, which keeps the whole.
pub async fn asset<O: Objects>(
    objects: &O,
    asked: &Parts,
    largest: u64,
) -> Result<Response<AssetBody<O::Body>>, FetchError> {
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "Files are read.");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let Some(name) = asset_name(asked.uri.path()) else {
        return Ok(missing());
    };
    let media_type = media_type(name);
    // What is packed already lies there in no coding.
    let codings = if media_type.packed {
        Vec::new()
    } else {
        best_codings(&asked.headers, &CODED.map(|(_, coding)| coding))
    };
    let codings = codings.into_iter().map(Some).chain([None]);
    for coding in codings {
        let ending = CODED.iter().find(|(_, known)| Some(*known) == coding);
        let object = format!("{name}{}", ending.map_or("", |(ending, _)| ending));
        let known = known(&asked.headers, coding);
        let wanted = match asked.method {
            Method::HEAD => Wanted::Head,
            _ => Wanted::Whole {
                known: known.as_deref(),
            },
        };
        let said = |tag: &str| {
            let tag = coding.map_or_else(|| tag.to_owned(), |coding| format!("{tag}-{coding}"));
            asset_fields(name, &media_type.text, coding, &tag)
        };
        let (tag, length, body) = match objects.open(&object, wanted).await? {
            Opened::Missing => continue,
            Opened::Unwanted => {
                let mut response = Response::new(AssetBody::Text(String::new()));
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                *response.headers_mut() = said(known.as_deref().unwrap_or_default());
                return Ok(response);
            }
            Opened::Found { tag, length, body } => (tag, length, body),
        };
        let mut fields = said(&tag);
        let range = (length > largest && asked.method == Method::GET)
            .then(|| range(&asked.headers, &fields, length))
            .flatten();
        if length > largest {
            fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        let Some(range) = range else {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
            let mut response = Response::new(AssetBody::Object(body));
            *response.headers_mut() = fields;
            return Ok(response);
        };
        drop(body);
        return part(objects, &object, &tag, length, range, fields).await;
    }
    Ok(missing())
}

async fn part<O: Objects>(
    objects: &O,
    object: &str,
    tag: &str,
    whole: u64,
    range: Range,
    mut fields: HeaderMap,
) -> Result<Response<AssetBody<O::Body>>, FetchError> {
    let mut tell = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(name, value);
        }
    };
    let (status, body) = match range {
        Range::Outside => {
            tell(CONTENT_RANGE, format!("bytes */{whole}"));
            tell(CONTENT_LENGTH, "0".to_owned());
            let body = AssetBody::Text(String::new());
            (StatusCode::RANGE_NOT_SATISFIABLE, body)
        }
        Range::Inside { first, length } => {
            let wanted = Wanted::Part { tag, first, length };
            let Opened::Found { body, .. } = objects.open(object, wanted).await? else {
                let why = "the file has changed between two questions for it";
                return Err(FetchError::Failed(why.into()));
            };
            let last = first + length - 1;
            tell(CONTENT_RANGE, format!("bytes {first}-{last}/{whole}"));
            tell(CONTENT_LENGTH, length.to_string());
            (StatusCode::PARTIAL_CONTENT, AssetBody::Object(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    Ok(response)
}

/// The tag, as the store has it, that the client or the cache knows of this coding.
fn known(headers: &HeaderMap, coding: Option<&str>) -> Option<String> {
    let lists = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    tags.find_map(|tag| {
        let tag = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let ending = CODED
            .iter()
            .map(|(_, known)| *known)
            .find(|known| stripped(tag, known).is_some());
        let tag = match (ending, coding) {
            (None, None) => tag,
            (Some(ending), Some(coding)) if ending == coding => stripped(tag, coding)?,
            _ => return None,
        };
        (!tag.is_empty() && tag.bytes().all(is_plain)).then(|| tag.to_owned())
    })
}

fn stripped<'a>(tag: &'a str, coding: &str) -> Option<&'a str> {
    tag.strip_suffix(coding)?.strip_suffix('-')
}

/// One range of bytes of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Inside { first: u64, length: u64 },
    Outside,
}

/// The one range that a request asks for (RFC 9110, 14.2). What asks for several gets the whole, as does what
/// cannot be read, or is meant for another file (`If-Range`).
fn range(headers: &HeaderMap, fields: &HeaderMap, whole: u64) -> Option<Range> {
    let mut lines = headers.get_all(RANGE).iter();
    let text = lines.next()?.to_str().ok()?;
    if lines.next().is_some() {
        return None;
    }
    if let Some(only) = headers.get(IF_RANGE)
        && fields.get(ETAG) != Some(only)
    {
        return None;
    }
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    if first.is_empty() {
        let length = number(last)?.min(whole);
        let first = whole - length;
        return Some(match length {
            0 => Range::Outside,
            _ => Range::Inside { first, length },
        });
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if last < first {
        return None;
    }
    let last = last.min(whole.saturating_sub(1));
    Some(match last.checked_sub(first) {
        Some(more) => Range::Inside {
            first,
            length: more + 1,
        },
        None => Range::Outside,
    })
}

/// The address of a static file without its query, which means nothing: so that nobody makes the cache hold
/// one file under many names. `None` if it is none.
pub fn asset_address(uri: &http::Uri) -> Option<http::Uri> {
    if !uri.path().starts_with(ASSETS) {
        return None;
    }
    if uri.query().is_none() {
        return Some(uri.clone());
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(uri.path().parse().ok()?);
    http::Uri::from_parts(parts).ok()
}

/// That there is no such file; there may be one in a moment.
fn missing<B>() -> Response<AssetBody<B>> {
    problem(StatusCode::NOT_FOUND, "There is no such file.")
}

fn problem<B>(status: StatusCode, detail: &str) -> Response<AssetBody<B>> {
    let title = status.canonical_reason();
    let text = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    let text = text.to_string();
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(AssetBody::Text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests;
