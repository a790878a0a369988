//! Showing secrets without telling them.

use super::{ExposeSecret, ReplicaConfig, SecretString, Serialize, Serializer};

const REDACTED: &str = "[redacted]";

/// Shows only whether there is a secret.
pub(super) fn whole<S: Serializer>(
    secret: &SecretString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let set = !secret.expose_secret().is_empty();
    serializer.serialize_str(if set { REDACTED } else { "" })
}

/// Shows where a URL points to, but not with whose name and password.
pub(super) fn url<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_credentials(secret.expose_secret()))
}

/// Shows replicas, their URLs as [`url`] does.
pub(super) fn replicas<S: Serializer>(
    replicas: &[ReplicaConfig],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        url: String,
        name: &'a str,
        distance: u32,
    }
    serializer.collect_seq(replicas.iter().map(|replica| Shown {
        url: without_credentials(replica.url.expose_secret()),
        name: &replica.name,
        distance: replica.distance,
    }))
}

/// Keeps scheme, host, port and path. Whatever is not plainly one of them is redacted: a URL that
/// was put together by hand may have a password with an `@`, a `/` or a `?` in it.
fn without_credentials(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return REDACTED.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let path = after.split(['?', '#']).next().unwrap_or_default();
    let (credentials, host) = match authority.split_once('@') {
        Some((_, host)) => ("[redacted]@", host),
        None => ("", authority),
    };
    let plain_host = host
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter));
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let plain_port = port
        .chars()
        .all(|letter| letter.is_ascii_digit() || letter == ']');
    if !plain_host || !plain_port || after.contains('@') {
        return format!("{scheme}://{REDACTED}");
    }
    let query = if path.len() < after.len() {
        "?[redacted]"
    } else {
        ""
    };
    format!("{scheme}://{credentials}{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_database_stay() {
        for (url, shown) in [
            ("", ""),
            (
                "postgres://ann:secret@db.example:5432/pitchey",
                "postgres://[redacted]@db.example:5432/pitchey",
            ),
            (
                "postgres://localhost/pitchey",
                "postgres://localhost/pitchey",
            ),
            (
                "postgres://ann@[::1]:5432/pitchey",
                "postgres://[redacted]@[::1]:5432/pitchey",
            ),
            ("postgres://[::1]/pitchey", "postgres://[::1]/pitchey"),
            (
                "postgres://localhost/pitchey?password=secret",
                "postgres://localhost/pitchey?[redacted]",
            ),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn no_odd_url_tells_its_password() {
        for url in [
            "secret",
            "postgres:ann:secret@db/pitchey",
            "postgres://ann:secret",
            "postgres://ann:sec@secret@db/pitchey",
            "postgres://ann:x/secret@db/pitchey",
            "postgres://ann:x?secret@db/pitchey",
            "postgres://ann:x#secret@db/pitchey",
            "postgres://ann:1/secret@db/pitchey",
            "postgres://db/pitchey?password=x@secret",
            "postgres://%2Fsecret%2F/pitchey",
        ] {
            let shown = without_credentials(url);
            assert!(!shown.contains("secret"), "{url} shown as {shown}");
            assert!(shown.contains(REDACTED), "{url} shown as {shown}");
        }
    }
}
