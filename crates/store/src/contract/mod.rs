//! What every implementation of the ports must do, as tests that each stamps out with [`suite!`].

mod accounts;
mod catalog;
mod figures;
mod follows;
mod given;
mod intake;
mod interests;
mod ndas;
mod notifications;
mod once;
mod pitches;
mod sessions;

pub use accounts::*;
pub use catalog::*;
pub use figures::*;
pub use follows::*;
pub use intake::*;
pub use interests::*;
pub use ndas::*;
pub use notifications::*;
pub use once::*;
pub use pitches::*;
pub use sessions::*;

use crate::mem::StoredPitch;
use crate::{FullStore, Intake, Store, StoreError};
use pitchey_model::{Page, Position, Profile, UserId};
use time::OffsetDateTime;

/// An implementation, empty, and a way to do what its ports do not offer.
pub trait Harness {
    /// The implementation.
    type Store: FullStore + Intake;

    /// The implementation.
    fn store(&self) -> &Self::Store;

    /// The present, in whole microseconds, for what is judged by it although no port says it.
    fn now(&self) -> OffsetDateTime;

    /// Makes it hold these as well.
    fn given(&self, users: &[Profile], pitches: &[StoredPitch]) -> impl Future<Output = ()> + Send;

    /// Locks an account, as an operator does.
    fn lock_user(&self, user: UserId) -> impl Future<Output = ()> + Send;

    /// Removes an account.
    fn delete_user(&self, user: UserId) -> impl Future<Output = ()> + Send;

    /// Brings up to date what is refreshed on a schedule.
    fn refresh(&self) -> impl Future<Output = ()> + Send;

    /// What changes have brought about.
    fn traces(&self) -> impl Future<Output = Traces> + Send;
}

/// An implementation of the read ports, empty, and a way to fill it.
pub trait ReadHarness {
    /// The implementation.
    type Reads: Store;

    /// The implementation.
    fn reads(&self) -> &Self::Reads;

    /// Makes it hold these as well.
    fn hold(&self, users: &[Profile], pitches: &[StoredPitch]) -> impl Future<Output = ()> + Send;
}

impl<H: Harness> ReadHarness for H {
    type Reads = H::Store;

    fn reads(&self) -> &H::Store {
        self.store()
    }

    fn hold(&self, users: &[Profile], pitches: &[StoredPitch]) -> impl Future<Output = ()> + Send {
        self.given(users, pitches)
    }
}

/// What changes have brought about, each in the order it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// The tags of cached answers that are no longer true.
    pub tags: Vec<String>,
    /// The kinds of the events.
    pub events: Vec<String>,
    /// The actions in the audit log, by time.
    pub audit: Vec<String>,
    /// How many measurements were kept.
    pub rum: u64,
    /// How many events of pages were kept.
    pub analytics: u64,
}

impl Traces {
    /// Those that are not in `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            tags: self.tags[before.tags.len()..].to_vec(),
            events: self.events[before.events.len()..].to_vec(),
            audit: self.audit[before.audit.len()..].to_vec(),
            rum: self.rum - before.rum,
            analytics: self.analytics - before.analytics,
        }
    }

    fn has_tag(&self, tag: &pitchey_model::event::Tag) -> bool {
        self.tags.iter().any(|one| one == tag.as_str())
    }
}

type Result = std::result::Result<(), StoreError>;

/// Everything in a list, by pages of `limit`, none of which is longer.
async fn pages<T, F>(
    limit: u32,
    mut page: impl FnMut(Option<Position>) -> F,
) -> std::result::Result<Vec<T>, StoreError>
where
    F: Future<Output = std::result::Result<Page<T>, StoreError>>,
{
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let Page { items, next } = page(after).await?;
        assert!(items.len() <= limit as usize);
        all.extend(items);
        assert!(all.len() <= 1000, "pages go on for ever");
        match next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Stamps the suite out for an implementation (with `reads` before its name, for one of the read ports alone): a module name and an expression that gives a future of a
/// fresh, empty [`Harness`]. The calling crate needs `tokio` with `macros`.
#[macro_export]
macro_rules! contract_suite {
    (reads $module:ident, $harness:expr) => {
        $crate::contract_suite!(@each $module, $harness,
            pages_neither_repeat_nor_skip, lists_descend, filters_narrow, inserts_do_not_shift_pages,
            details_are_whole, searches_find, profiles_are_found);
    };
    ($module:ident, $harness:expr) => {
        $crate::contract_suite!(@each $module, $harness,
            // Lists, details, search, profiles.
            pages_neither_repeat_nor_skip, lists_descend, filters_narrow, inserts_do_not_shift_pages,
            details_are_whole, searches_find, profiles_are_found,
            // Accounts.
            registering_makes_an_account, names_and_addresses_are_taken_once,
            deleted_accounts_are_gone, imported_accounts_have_no_password,
            profiles_change_from_the_expected_version, a_changed_name_is_shown_everywhere,
            // Sessions.
            what_operators_do_is_noted, sessions_are_found_by_their_token, sessions_expire, use_prolongs_a_session,
            sessions_are_listed_newest_first, one_session_ends, all_sessions_end,
            a_session_replaces_another, a_password_is_changed_over_the_one_it_was_checked_against,
            a_session_opens_on_the_password_that_holds,
            locked_accounts_have_no_sessions,
            // Pitches.
            a_new_pitch_is_a_draft, only_creators_begin_pitches, pitches_live, edits_are_whole,
            pitches_change_from_the_expected_version, strangers_change_nothing,
            a_deleted_pitch_is_gone, own_pitches_are_listed_last_changed_first,
            private_pitches_are_not_on_the_site, changes_of_pitches_leave_traces,
            a_read_that_demands_a_position_sees_what_was_written,
            // NDAs.
            an_nda_is_asked_for, not_every_pitch_has_ndas, ndas_are_decided, ndas_end,
            an_expired_nda_makes_room, ndas_are_listed_by_side,
            // Interests.
            an_interest_is_expressed, interests_are_decided, interests_are_listed_by_side,
            // Saved pitches and follows.
            pitches_are_saved_once, only_what_is_on_the_site_is_listed_as_saved,
            saved_pitches_are_listed_last_saved_first, following_twice_tells_once,
            only_others_who_are_there_are_followed, followed_people_are_listed_last_followed_first,
            // Notifications.
            the_first_publication_is_told_to_followers, notifications_are_listed_newest_first,
            notifications_are_read, unread_notifications_are_counted_up_to_a_hundred,
            // Figures.
            creators_have_figures, investors_have_figures,
            // What is done once.
            a_repeated_request_gets_the_first_answer, a_key_belongs_to_one_request_of_one_account,
            an_expired_key_can_be_used_again, a_refusal_is_not_kept,
            deals_are_made_once,
            // What is counted and measured.
            views_count_once_for_each_viewer_and_day, measurements_are_kept_once);
    };
    (@each $module:ident, $harness:expr, $($name:ident),*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() -> Result<(), $crate::StoreError> {
                    $crate::contract::$name($harness.await).await
                }
            )*
        }
    };
}
pub use crate::contract_suite as suite;
