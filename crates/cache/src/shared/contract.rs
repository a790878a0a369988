//! What every shared tier must do, as tests that each stamps out with [`suite!`].

mod fills;
mod given;
mod lookups;
mod numbers;

pub use fills::*;
pub use lookups::*;
pub use numbers::*;

use std::future::Future;
use std::time::Duration;

use super::{Shared, SharedError};

/// An empty shared tier, and a way to do what happens to one.
pub trait Harness: Send + Sync {
    /// The implementation.
    type Shared: Shared;

    /// The implementation.
    fn shared(&self) -> &Self::Shared;

    /// Lets time pass for it, so much at least.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Makes it forget the numbers of a tag, which any tier that evicts may do at any moment.
    fn forget_tag(&self, tag: &str) -> impl Future<Output = ()> + Send;

    /// Everything that it held is lost.
    fn lose_all(&mut self) -> impl Future<Output = ()> + Send;

    /// What it holds may have been set back to an earlier state: it was restarted from a snapshot.
    fn set_back(&mut self) -> impl Future<Output = ()> + Send;
}

type Result = std::result::Result<(), SharedError>;

/// Stamps the suite out for an implementation: a module name and an expression that gives a future of a
/// fresh, empty [`Harness`]. The calling crate needs `tokio` with `macros`.
#[macro_export]
macro_rules! shared_contract_suite {
    ($module:ident, $harness:expr) => {
        $crate::shared_contract_suite!(@each $module, $harness,
            // Lookups and leases.
            nothing_is_found_before_a_fill, a_filled_entry_is_found_as_it_was, absence_is_an_entry_too,
            without_a_wish_no_lease_is_granted, a_lease_is_exclusive, a_lease_expires,
            a_renewed_lease_lasts, an_expired_lease_is_not_renewed, a_removed_lease_is_not_renewed,
            only_its_own_token_renews_a_lease, a_released_lease_is_free_at_once, only_its_own_token_releases_a_lease,
            a_fresh_entry_needs_no_lease, a_fresh_entry_can_be_leased_always,
            a_stale_entry_is_found_with_a_lease, an_entry_ages_from_the_lease_on,
            an_entry_is_kept_no_longer_than_asked, many_are_found_in_the_order_of_their_keys,
            no_lookups_find_nothing, names_may_be_any_text,
            // Fills.
            a_fill_ends_its_lease, a_made_up_token_fills_nothing, a_lost_lease_fills_nothing,
            a_fill_after_a_raise_is_refused, a_refused_fill_frees_the_key,
            a_tag_found_by_the_load_counts, a_tag_found_by_the_load_was_raised_meanwhile,
            a_fill_whose_tag_was_forgotten_meanwhile, a_soft_raise_refuses_no_fill,
            a_later_fill_replaces_an_earlier_one, a_fill_may_be_older_than_its_lease,
            a_fill_that_has_seen_less_than_its_lease_is_refused,
            a_removed_key_is_not_filled, a_removed_prefix_is_not_filled,
            many_are_filled_in_the_order_of_the_fills, no_fills_fill_nothing,
            // Invalidations and their numbers.
            a_raised_entry_is_not_found, any_raised_tag_is_enough, other_tags_stay,
            a_softened_entry_is_found_and_may_be_loaded, a_refreshed_entry_is_not_softened,
            a_hard_raise_after_a_soft_one_holds, a_forgotten_tag_invalidates,
            a_known_tag_is_no_reason_to_believe_an_older_entry,
            removed_keys_are_gone, a_prefix_is_removed_and_nothing_else,
            numbers_have_no_gaps, a_lease_knows_the_newest_number_and_position,
            a_lost_tier_begins_another_epoch, a_tier_that_was_set_back_begins_another_epoch,
            loads_go_on_in_another_epoch);
    };
    (@each $module:ident, $harness:expr, $($name:ident),*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() -> Result<(), $crate::SharedError> {
                    $crate::shared::contract::$name($harness.await).await
                }
            )*
        }
    };
}
pub use crate::shared_contract_suite as suite;
