//! What operators have Pitchey's edge do: forget, warm, and say what it keeps.

use futures::future::BoxFuture;
use http::StatusCode;
use http::uri::PathAndQuery;
use pitchey_api::ResponseKind;
use pitchey_api::edge::CODINGS;
use pitchey_cache::shared::{Shared, SharedError, Strength};
use pitchey_cache::{AsOf, Memory, Position};

use super::{Inner, Page, Site, path, read};
use crate::desk::{self, Hearing, Purge, Purged, RouteShown, Unpurged, Warm, Warmed};
use crate::fields::Client;
use crate::platform::Platform;

/// How many names one announcement has at most.
const AT_ONCE: usize = 100;

/// Nothing carries it: a number behind those of keys and prefixes, for all who ask the origin from now on.
const MARK: &str = "edge:purged";

impl<P: Platform, M: Memory<Page>, S: Shared> Site<P, M, S> {
    /// Forgets what is kept, here, at all other edges and at all origins, in the order that they share.
    ///
    /// Once it is acknowledged, no read through this edge shows what was loaded before; others hear of it as of
    /// any invalidation. Without an acknowledgement it may hold here alone.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, Unpurged> {
        let inner = &self.inner;
        let keys = inner.keys_of(&purge.keys);
        let prefixes = inner.prefixes_of(&purge.prefixes);
        let (keys, prefixes) = match (keys, prefixes) {
            (Ok(keys), Ok(prefixes)) => (keys, prefixes),
            (keys, prefixes) => {
                let errors = [keys.err(), prefixes.err()];
                return Err(Unpurged::Wrong(
                    errors.into_iter().flatten().flatten().collect(),
                ));
            }
        };
        let mut done = Purged::default();
        let backplane = inner.answers.backplane();
        // Nothing was written, so no copy of the source is too old that was not before.
        let position = Position::default();
        let work = async {
            for tags in purge.tags.chunks(AT_ONCE) {
                backplane.invalidate(tags, Strength::Hard, position).await?;
                done.tags += tags.len();
            }
            for keys in &keys {
                backplane.remove(keys, position).await?;
                done.keys += 1;
            }
            for prefixes in &prefixes {
                for prefix in prefixes {
                    backplane.remove_prefix(prefix, position).await?;
                }
                done.prefixes += 1;
            }
            if !keys.is_empty() || !prefixes.is_empty() || inner.pages.is_some() {
                let as_of = inner.settle_purge().await?;
                if let Some(pages) = &inner.pages {
                    let (keys, prefixes) = (keys.concat(), prefixes.concat());
                    if !pages.purge(as_of, &purge.tags, keys, prefixes).await {
                        let why = "the pages in KV cannot be told".to_owned();
                        return Err(SharedError::Unavailable(why));
                    }
                }
            }
            Ok(())
        };
        let outcome: Result<(), SharedError> = work.await;
        match outcome {
            Ok(()) => Ok(done),
            Err(error) => Err(Unpurged::Unacknowledged {
                done,
                why: error.to_string(),
            }),
        }
    }

    /// Whether no edge with the same tier has heard this nonce of an operator before; `None` if there is no tier, or
    /// it does not say.
    pub async fn hears_first(&self, nonce: &str) -> Option<bool> {
        let tier = self.inner.tier.as_ref()?;
        let name = ["desk:", nonce].concat();
        tier.claims(&name, desk::REMEMBERED).await
    }

    /// What asks the tier whether it answers, if there is one.
    pub fn tier_probe(&self) -> Option<Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>> {
        let tier = self.inner.tier.clone()?;
        Some(Box::new(move || {
            let tier = tier.clone();
            Box::pin(async move { tier.answers().await })
        }))
    }

    /// Asks for these paths as this client would.
    pub async fn warm(&self, warm: &Warm, client: Client) -> Vec<Warmed> {
        let ask = |request| self.handle(request, client);
        desk::warm(&self.inner.platform, warm, ask).await
    }

    /// What is kept, by which rules.
    pub fn routes(&self) -> Vec<RouteShown> {
        let inner = &self.inner;
        let policies: Vec<_> = read::policies(inner.settings.patience);
        let shown = inner
            .routes
            .table()
            .filter_map(|(route, kind, parameters)| {
                let (name, policy) = policies.iter().find(|(name, _)| *name == kind.name())?;
                Some(RouteShown {
                    route: route.to_owned(),
                    kind: (*name).to_owned(),
                    parameters: parameters.iter().map(ToString::to_string).collect(),
                    fresh_s: policy.fresh.as_secs(),
                    stale_while_revalidate_s: policy.stale_while_revalidate.as_secs(),
                    stale_if_error_s: policy.stale_if_error.as_secs(),
                })
            });
        shown.collect()
    }

    /// What the node knows of the order that all share.
    pub fn hearing(&self) -> Hearing {
        let status = self.inner.node.status(self.inner.platform.now());
        Hearing {
            attached: status.attached,
            epoch: status.epoch.to_string(),
            applied: status.applied.0,
            era: status.era,
            trusted_for_ms: u64::try_from(status.trusted_for.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl<P: Platform, M: Memory<Page>, S: Shared> Inner<P, M, S> {
    /// The keys of each address: what an origin keeps of it, and what edges keep in each coding.
    fn keys_of(&self, addresses: &[Box<str>]) -> Result<Vec<Vec<Box<str>>>, Vec<String>> {
        all("keys", addresses, |address| {
            let address: PathAndQuery = address.parse().map_err(|_| "is no path")?;
            let path = path::normal(address.path()).map_err(|_| "is an address that is refused")?;
            let kept = self.routes.kept(&path, address.query());
            let kept = kept.map_err(|_| "has a query that is refused")?;
            let kept = kept.ok_or("is nothing whose answers are kept")?;
            let whole = [kept.kind.name(), ":", &kept.target].concat();
            let coded = CODINGS.map(|coding| [&whole, "|", coding].concat().into());
            Ok(coded.into_iter().chain([whole.into()]).collect())
        })
    }

    /// What the keys begin with of all addresses that begin so.
    fn prefixes_of(&self, prefixes: &[Box<str>]) -> Result<Vec<Vec<Box<str>>>, Vec<String>> {
        all("prefixes", prefixes, |prefix| {
            let kinds = self.routes.kinds_under(prefix);
            if kinds.is_empty() {
                return Err("is the beginning of nothing whose answers are kept");
            }
            let kinds = kinds.into_iter().map(ResponseKind::name);
            Ok(kinds
                .map(|kind| [kind, ":", prefix].concat().into())
                .collect())
        })
    }

    /// Before a purge of keys is acknowledged: what is asked for from now on has seen it at the origin, too,
    /// and what was asked for before is not kept.
    async fn settle_purge(&self) -> Result<AsOf, SharedError> {
        let tier = self.answers.backplane().tier();
        let mark = [MARK.into()];
        let marked = tier.invalidate(&mark, Strength::Hard, Position::default());
        let as_of = marked.await?;
        self.settle_change(Some(as_of), StatusCode::OK).await;
        if !self.node.heard_of(as_of) {
            // It hears nothing, or of other numbers: what is being loaded is not trusted either.
            self.node.distrust();
        }
        Ok(as_of)
    }
}

/// What is made of each, or what is wrong with any.
fn all<T>(
    list: &str,
    names: &[Box<str>],
    make: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, Vec<String>> {
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        match make(name) {
            Ok(one) => made.push(one),
            Err(why) => errors.push(format!("{list}[{at}]: {why}")),
        }
    }
    if errors.is_empty() {
        Ok(made)
    } else {
        Err(errors)
    }
}
