//! What signed-in people do: pitches, NDAs, interests, saved pitches, follows, notifications, dashboards.
//!
//! An implementation of a write loads what [`pitchey_model::decide`] needs, locked, asks it, and writes the
//! outcome with its effects (cache tags, events, notifications, audit entries), all in one transaction.

use crate::StoreError;
use crate::accounts::Origin;
use pitchey_model::decide::{Expected, NdaStep, Refusal};
use pitchey_model::event::Notification;
use pitchey_model::lifecycle::{InterestAction, PitchAction};
use pitchey_model::{
    Actor, Interest, InterestId, Nda, NdaId, NewInterest, NewNda, NotificationId, Page, Person,
    Pitch, PitchCard, PitchChange, PitchContent, PitchId, Position, Side, UserId,
};
use time::OffsetDateTime;

/// What a write came to: the thing as it is now, or why not.
pub type Outcome<T> = Result<Result<T, Refusal>, StoreError>;

/// What a request that was done before was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request that is done once however often it comes. The key is the actor's own.
#[derive(Debug, Clone)]
pub struct Once<T> {
    /// The client's key, 1 to 128 characters.
    pub key: String,
    /// SHA-256 of what is asked: another request under the same key is refused.
    pub request_hash: [u8; 32],
    /// Until when the answer is kept.
    pub expires_at: OffsetDateTime,
    /// The answer to keep, made in the transaction of the change.
    pub answer: fn(&T) -> StoredAnswer,
}

/// What came of something that is done once.
#[derive(Debug, Clone, PartialEq)]
pub enum Created<T> {
    /// It was done now.
    New(T),
    /// It was done before, and answered this.
    Before(StoredAnswer),
}

/// A pitch whole, and what decides whether the one who asks may read it.
#[derive(Debug, Clone, PartialEq)]
pub struct FullPitch {
    /// The pitch.
    pub pitch: Pitch,
    /// The live NDA of the one who asks.
    pub nda: Option<Nda>,
}

/// A saved pitch.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The pitch.
    pub card: PitchCard,
    /// Since when.
    pub saved_at: OffsetDateTime,
}

/// Somebody who is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Who.
    pub person: Person,
    /// Since when.
    pub followed_at: OffsetDateTime,
}

/// The figures of a creator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreatorFigures {
    /// Pitches that are not on the site yet.
    pub drafts: i64,
    /// Pitches on the site.
    pub published: i64,
    /// Pitches that were taken off it.
    pub archived: i64,
    /// Followers, counted up to 10,000.
    pub followers: i64,
    /// NDAs that wait for an answer.
    pub ndas_waiting: i64,
    /// Interests that wait for an answer.
    pub interests_waiting: i64,
    /// Views of all pitches, ever. This and what follows is as old as the last refresh of the statistics.
    pub views: i64,
    /// Views of the last seven days.
    pub views_7d: i64,
    /// How often pitches were saved.
    pub saves: i64,
    /// NDAs that were asked for, ever.
    pub ndas_requested: i64,
    /// NDAs that are approved.
    pub ndas_approved: i64,
    /// Interests that wait or were accepted.
    pub interests: i64,
}

/// The figures of an investor or a production company.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvestorFigures {
    /// Pitches saved.
    pub saved: i64,
    /// People followed.
    pub following: i64,
    /// NDAs that wait for an answer.
    pub ndas_waiting: i64,
    /// NDAs that are approved and hold.
    pub ndas_approved: i64,
    /// Interests that wait for an answer.
    pub interests_waiting: i64,
    /// Interests that were accepted.
    pub interests_accepted: i64,
}

/// What signed-in people do.
///
/// Lists descend by time and id: a page of at most `limit` entries right behind `after`, whose key is
/// [`pitchey_model::SortKey::Time`].
pub trait Market {
    /// A pitch in any state but deleted, with the live NDA of `reader`.
    fn full_pitch(
        &self,
        id: PitchId,
        reader: Option<UserId>,
    ) -> impl Future<Output = Result<Option<FullPitch>, StoreError>> + Send;

    /// A creator's own pitches in every state, last changed first.
    fn own_pitches(
        &self,
        creator: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Pitch>, StoreError>> + Send;

    /// Begins a pitch: [`pitchey_model::decide::create_pitch`].
    fn create_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        content: PitchContent,
        once: Option<Once<Pitch>>,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Created<Pitch>>> + Send;

    /// Changes what a pitch says: [`pitchey_model::decide::edit_pitch`].
    fn edit_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        change: PitchChange,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Pitch>> + Send;

    /// Publishes, archives or withdraws a pitch: [`pitchey_model::decide::step_pitch`].
    fn step_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        action: PitchAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Pitch>> + Send;

    /// Removes a pitch: [`pitchey_model::decide::delete_pitch`].
    fn delete_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<()>> + Send;

    /// Asks for an NDA: [`pitchey_model::decide::request_nda`].
    fn request_nda(
        &self,
        actor: &Actor,
        new: NewNda,
        once: Option<Once<Nda>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Created<Nda>>> + Send;

    /// An NDA, whoever asks.
    fn nda(&self, id: NdaId) -> impl Future<Output = Result<Option<Nda>, StoreError>> + Send;

    /// Approves, rejects or revokes an NDA: [`pitchey_model::decide::step_nda`].
    fn step_nda(
        &self,
        actor: &Actor,
        id: NdaId,
        expected: &Expected,
        step: NdaStep,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Nda>> + Send;

    /// The NDAs of one side, newest first.
    fn ndas(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Nda>, StoreError>> + Send;

    /// Expresses interest: [`pitchey_model::decide::express_interest`].
    fn express_interest(
        &self,
        actor: &Actor,
        new: NewInterest,
        once: Option<Once<Interest>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Created<Interest>>> + Send;

    /// An interest, whoever asks.
    fn interest(
        &self,
        id: InterestId,
    ) -> impl Future<Output = Result<Option<Interest>, StoreError>> + Send;

    /// Withdraws, accepts or declines an interest: [`pitchey_model::decide::step_interest`].
    fn step_interest(
        &self,
        actor: &Actor,
        id: InterestId,
        expected: &Expected,
        action: InterestAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<Interest>> + Send;

    /// The interests of one side, newest first.
    fn interests(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Interest>, StoreError>> + Send;

    /// Saves a pitch; saving it again changes nothing. [`pitchey_model::decide::save`].
    fn save_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<()>> + Send;

    /// No longer saves a pitch, whether it was saved or not.
    fn unsave_pitch(
        &self,
        user: UserId,
        id: PitchId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What somebody saved and is still on the site, last saved first.
    fn saved(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Saved>, StoreError>> + Send;

    /// Follows an account, which is told; following it again changes nothing and tells nobody.
    /// [`pitchey_model::decide::follow`]; nobody of that id is [`Refusal::NotFound`].
    fn follow(
        &self,
        actor: &Actor,
        followed: UserId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Outcome<()>> + Send;

    /// No longer follows an account, whether it was followed or not.
    fn unfollow(
        &self,
        actor: &Actor,
        followed: UserId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whom somebody follows, last followed first.
    fn following(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Followed>, StoreError>> + Send;

    /// What somebody was told, newest first.
    fn notifications(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Notification>, StoreError>> + Send;

    /// How many notifications are unread, counted up to 100.
    fn unread_notifications(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<i64, StoreError>> + Send;

    /// Marks notifications as read, all if `ids` is `None`; how many were unread.
    fn read_notifications(
        &self,
        user: UserId,
        ids: Option<&[NotificationId]>,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The figures of a creator.
    fn creator_figures(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<CreatorFigures, StoreError>> + Send;

    /// The figures of an investor or a production company.
    fn investor_figures(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<InvestorFigures, StoreError>> + Send;
}
