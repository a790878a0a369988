//! `pitchey pitches`: pitches, whatever state they are in.

use super::{Because, By, Desk, moment, moment_or_dash};
use crate::output::Output;
use crate::table::fields;
use anyhow::{Context as _, bail};
use clap::Subcommand;
use pitchey_model::decide::Refusal;
use pitchey_model::{Person, PitchId, PitchStatus, UserId, Username, Visibility};
use pitchey_store_pg::operate::PitchRecord;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// What can be done about pitches.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where a pitch is in its life; nothing of its protected part.
    Show {
        /// The pitch.
        id: Uuid,
    },
    /// Take a published pitch off the site: it is archived, and its creator may edit and publish it again.
    Unpublish {
        /// The pitch.
        id: Uuid,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        by: By,
    },
}

/// Who pitches.
#[derive(Debug, Serialize)]
struct Creator {
    id: UserId,
    username: Username,
    display_name: String,
}

impl From<Person> for Creator {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            username: person.username,
            display_name: person.display_name,
        }
    }
}

/// A pitch.
#[derive(Debug, Serialize)]
struct Shown {
    id: PitchId,
    title: String,
    creator: Creator,
    status: PitchStatus,
    visibility: Visibility,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    published_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    deleted_at: Option<OffsetDateTime>,
    version: i64,
    view_count: i64,
}

impl From<PitchRecord> for Shown {
    fn from(pitch: PitchRecord) -> Self {
        Self {
            id: pitch.id,
            title: pitch.title,
            creator: pitch.creator.into(),
            status: pitch.status,
            visibility: pitch.visibility,
            created_at: pitch.created_at,
            updated_at: pitch.updated_at,
            published_at: pitch.published_at,
            archived_at: pitch.archived_at,
            deleted_at: pitch.deleted_at,
            version: pitch.version,
            view_count: pitch.view_count,
        }
    }
}

/// A pitch that was taken off the site.
#[derive(Debug, Serialize)]
struct Unpublished {
    id: PitchId,
    status: PitchStatus,
    version: i64,
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    match command {
        Command::Show { id } => {
            let pitch = desk.store.pitch_record(PitchId(id)).await?;
            let shown = Shown::from(pitch.with_context(|| none(id))?);
            output.show(&shown, || shown.to_text())
        }
        Command::Unpublish { id, because, by } => {
            let pitch = PitchId(id);
            let done = desk
                .store
                .unpublish_pitch(pitch, &by.operator, &because.reason, desk.now());
            let after = match done.await? {
                Ok(after) => after,
                Err(Refusal::NotFound) => bail!(none(id)),
                Err(refusal) => {
                    return Err(refusal).with_context(|| format!("the pitch {id} stays as it is"));
                }
            };
            let unpublished = Unpublished {
                id: after.id,
                status: after.status,
                version: after.version,
            };
            output.show(&unpublished, || {
                format!("the pitch {id} is {} now\n", unpublished.status)
            })
        }
    }
}

fn none(id: Uuid) -> String {
    format!("there is no pitch {id}")
}

impl Shown {
    fn to_text(&self) -> String {
        let creator = &self.creator;
        fields(&[
            ("id", self.id.to_string()),
            ("title", self.title.clone()),
            (
                "creator",
                format!("{} ({})", creator.username.as_str(), creator.display_name),
            ),
            ("status", self.status.to_string()),
            ("visibility", self.visibility.to_string()),
            ("made", moment(self.created_at)),
            ("changed", moment(self.updated_at)),
            ("published", moment_or_dash(self.published_at)),
            ("archived", moment_or_dash(self.archived_at)),
            ("deleted", moment_or_dash(self.deleted_at)),
            ("version", self.version.to_string()),
            ("views", self.view_count.to_string()),
        ])
    }
}
