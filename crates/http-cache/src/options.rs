//! What a cache may be told to do otherwise than the RFCs alone would have it.

use http::header::HeaderName;

/// Switches and bounds. The defaults are what the RFCs alone ask of a shared cache; each switch can
/// only make it stricter, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// Whether what has no explicit lifetime gets one from its age when it was made (RFC 9111, 4.2.2).
    pub heuristics: bool,
    /// The longest lifetime that is guessed so, in seconds.
    pub heuristic_cap: u64,
    /// Targeted fields (RFC 9213) in the order in which they are looked for; the first that is valid
    /// and not empty takes the place of `Cache-Control` and `Expires`.
    pub targeted: Vec<HeaderName>,
    /// Whether the request's own `Cache-Control` and `Pragma` are obeyed. A cache that stands for the
    /// origin may ignore them, so that nobody can make it forward everything. `no-store`,
    /// `no-transform` and `only-if-cached` are obeyed in any case.
    pub obey_requests: bool,
    /// Whether responses with `Set-Cookie` may be stored. The RFCs allow it; where cookies mean
    /// sessions, say `false`.
    pub store_set_cookie: bool,
    /// What is done with requests that have a `Cookie`.
    pub cookies: Credentials,
    /// What is done with requests that have an `Authorization`. Whether the response to such a request
    /// may be stored is another question, which RFC 9111, 3.5 answers.
    pub authorization: Credentials,
    /// Whether the stale windows of RFC 5861 are good beside `s-maxage`, which by RFC 9111, 5.2.2.10
    /// forbids to serve stale. Less strict than the RFC; many origins mean it so.
    pub windows_beside_s_maxage: bool,
    /// How long after its lifetime, in seconds, a response may be served when the origin cannot be
    /// reached or fails, though nobody said `stale-if-error` (RFC 9111, 4.2.4). Directives that forbid
    /// it still do.
    pub stale_if_unreachable: u64,
    /// Whether a request that no stored variant matches is forwarded with the strong entity tags of
    /// those whose content coding it takes, so that the origin may say that one of them will do
    /// (RFC 9111, 4.1). Say `false` if an origin gives different variants one strong tag.
    pub offer_other_variants: bool,
    /// Whether a request whose conditions the cache cannot answer yet is forwarded without them, so that
    /// the response can be stored; the client gets its 304 all the same. Good where many clients come
    /// with copies of their own, such as crawlers, and the origin's bodies are cheap to fetch.
    pub fill_on_condition: bool,
    /// The most variants that are kept for one key; the oldest makes room.
    pub max_variants: usize,
    /// The most ranges that one request may ask for; what asks for more gets the whole. Nought
    /// switches ranges off.
    pub max_ranges: usize,
    /// The most bytes of header fields that are stored of one response.
    pub max_header_bytes: usize,
    /// Makes the boundaries between several ranges something that whoever wrote the body could not
    /// know. Give a random number, another one in each process.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heuristics: true,
            heuristic_cap: 24 * 60 * 60,
            targeted: vec![HeaderName::from_static("cdn-cache-control")],
            obey_requests: true,
            store_set_cookie: true,
            cookies: Credentials::Ignore,
            authorization: Credentials::Ignore,
            windows_beside_s_maxage: false,
            stale_if_unreachable: 0,
            offer_other_variants: true,
            fill_on_condition: false,
            max_variants: 16,
            max_ranges: 16,
            max_header_bytes: 64 * 1024,
            seed: 0,
        }
    }
}

/// What a cache does with requests that tell who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They are answered and their responses stored as the RFCs say.
    Ignore,
    /// They are always forwarded, and their responses never stored.
    Bypass,
}
