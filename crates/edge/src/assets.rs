//! Static files: which one an address means, in which coding, and what is said of it. Where they lie is the
//! shell's.

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};

/// What addresses of static files begin with.
pub const ASSETS: &str = "/assets/";

/// Codings that a file may lie beside itself in, the best first: the ending of its name, and what
/// `Content-Encoding` calls it.
pub const CODED: [(&str, &str); 3] = [(".br", "br"), (".zst", "zstd"), (".gz", "gzip")];

/// The longest name.
const LONGEST: usize = 512;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The name of the file that a path means; `None` if it can mean none. No name leads out of the folder, and
/// none is hidden.
pub fn asset_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix(ASSETS)?;
    let fits = name.len() <= LONGEST;
    let is_plain = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
    };
    (fits && name.split('/').all(is_plain)).then_some(name)
}

/// Whether a name carries what its content comes to, as bundlers write it (`app-5DW4GQ3H.js`,
/// `app.5dw4gq3h.css`): then there is never another content under it.
pub fn is_fingerprinted(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let Some((stem, _)) = name.rsplit_once('.') else {
        return false;
    };
    let print = stem.rsplit(['-', '.']).next().unwrap_or_default();
    // A date has digits alone, a word has letters alone.
    print.len() < stem.len()
        && (8..=64).contains(&print.len())
        && print.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && print.bytes().any(|byte| byte.is_ascii_digit())
        && print.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// What a file is.
pub(crate) struct MediaType {
    /// As `Content-Type` says it.
    pub(crate) text: String,
    /// Whether it is packed by itself, as pictures are: a coding would not make it smaller.
    pub(crate) packed: bool,
}

/// What a file is, by the ending of its name.
pub(crate) fn media_type(name: &str) -> MediaType {
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let (outer, inner) = (kind.type_().as_str(), kind.subtype().as_str());
    let text = match outer {
        "text" => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    let is_text = kind.suffix().is_some();
    let packed = match outer {
        "image" => !is_text && !matches!(inner, "bmp" | "x-icon" | "vnd.microsoft.icon"),
        "audio" | "video" => true,
        "font" => matches!(inner, "woff" | "woff2"),
        "application" => matches!(inner, "zip" | "gzip" | "zstd" | "pdf" | "font-woff"),
        _ => false,
    };
    MediaType { text, packed }
}

/// What is said of a file: its type, the tag of its content in this coding, and how long it may be kept.
pub fn asset_fields(name: &str, media_type: &str, coding: Option<&str>, tag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let lifetime = if is_fingerprinted(name) {
        "public, max-age=31536000, immutable"
    } else {
        // It is kept, and asked for anew by its tag; for a week it stands in for a store that fails.
        "public, max-age=0, stale-if-error=604800"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(lifetime));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    let same_site = HeaderValue::from_static("same-origin");
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, same_site);
    // It says nothing about a script or a picture of a page, and everything about a file that is opened as one.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    let mut tell = |name, value: Option<&str>| {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    };
    tell(CONTENT_TYPE, Some(media_type));
    tell(CONTENT_ENCODING, coding);
    tell(ETAG, Some(&format!("\"{tag}\"")));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_the_folder_are_names() {
        assert_eq!(asset_name("/assets/app.js"), Some("app.js"));
        assert_eq!(asset_name("/assets/a/b_c/d-1.css"), Some("a/b_c/d-1.css"));
        for path in [
            "/assets/",
            "/assets/../secret",
            "/assets/a/../../secret",
            "/assets//etc/passwd",
            "/assets/.env",
            "/assets/a/.git/config",
            "/assets/%2e%2e/secret",
            "/assets/a\\b",
            "/assets/a\0b",
            "/assets/a/",
            "/assetsx/a",
            "/api/me",
        ] {
            assert_eq!(asset_name(path), None, "{path:?}");
        }
        let long = format!("/assets/{}", "x".repeat(LONGEST + 1));
        assert_eq!(asset_name(&long), None);
    }

    #[test]
    fn what_is_packed_by_itself_is_told_from_what_is_not() {
        for (name, text, packed) in [
            ("a.js", "text/javascript; charset=utf-8", false),
            ("a.wasm", "application/wasm", false),
            ("a.svg", "image/svg+xml", false),
            ("a.ico", "image/x-icon", false),
            ("a.png", "image/png", true),
            ("a.woff2", "font/woff2", true),
            ("a.ttf", "font/ttf", false),
            ("a.mp4", "video/mp4", true),
            ("a", "application/octet-stream", false),
        ] {
            let kind = media_type(name);
            assert_eq!((&*kind.text, kind.packed), (text, packed), "{name}");
        }
    }

    #[test]
    fn a_name_that_carries_its_content_is_kept_for_good() {
        for name in [
            "app-5DW4GQ3H.js",
            "a/b/app.5dw4gq3h.css",
            "x-0123456789abcdef.woff2",
        ] {
            assert!(is_fingerprinted(name), "{name}");
        }
        for name in [
            "app.js",
            "5DW4GQ3H.js",
            "report-20261128.pdf",
            "photo-landscape.png",
            "app-5DW4.js",
            "app-5DW4GQ3H",
            "5DW4GQ3H/app.js",
        ] {
            assert!(!is_fingerprinted(name), "{name}");
        }
        let said =
            |name| asset_fields(name, "text/css", Some("br"), "abc-br")[CACHE_CONTROL].clone();
        assert_eq!(
            said("app.5dw4gq3h.css"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(said("app.css"), "public, max-age=0, stale-if-error=604800");
    }
}
