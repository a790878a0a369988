//! Closed sets of words. The text form is the same in JSON, in query strings and in the database, whose
//! check constraints list the same words (a test compares them).

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A word that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a known {vocabulary}: one of {known}")]
pub struct UnknownWord {
    /// What kind of word was expected.
    pub vocabulary: &'static str,
    /// The words there are, separated by commas.
    pub known: String,
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident ($label:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The text form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        // By hand, because the derive does not see the words: here they are still fragments of a macro.
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = Self::ALL.iter().map(|word| word.as_str());
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(words))
                    .into()
            }
        }

        impl ToSchema for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord {
                        vocabulary: $label,
                        known: Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", "),
                    }),
                }
            }
        }
    };
}

vocabulary! {
    /// What a film is like. A pitch has up to eight.
    #[expect(missing_docs, reason = "the words say it")]
    Genre ("genre") {
        Action = "action", Adventure = "adventure", Animated = "animated", Biography = "biography",
        Comedy = "comedy", Crime = "crime", Dance = "dance", Disaster = "disaster",
        Documentary = "documentary", Drama = "drama", Erotic = "erotic", Family = "family",
        Fantasy = "fantasy", FoundFootage = "found_footage", Historical = "historical",
        Horror = "horror", Independent = "independent", Legal = "legal", LiveAction = "live_action",
        MartialArts = "martial_arts", Musical = "musical", Mystery = "mystery", Noir = "noir",
        Performance = "performance", Political = "political", Romance = "romance", Satire = "satire",
        ScienceFiction = "science_fiction", Short = "short", Silent = "silent", Slasher = "slasher",
        Sports = "sports", Spy = "spy", Superhero = "superhero", Supernatural = "supernatural",
        Suspense = "suspense", Teen = "teen", Thriller = "thriller", War = "war", Western = "western",
    }
}

vocabulary! {
    /// What is to be made.
    Format ("format") {
        /// A feature-length film.
        Feature = "feature",
        /// A film of up to forty minutes.
        Short = "short",
        /// A series without a planned end.
        Series = "series",
        /// A series that ends.
        LimitedSeries = "limited_series",
        /// A documentary of any length.
        Documentary = "documentary",
        /// A series made for the web.
        WebSeries = "web_series",
    }
}

vocabulary! {
    /// How far the production is.
    Stage ("stage") {
        /// An idea.
        Concept = "concept",
        /// A treatment is written.
        Treatment = "treatment",
        /// A script is written.
        Script = "script",
        /// Cast and crew are being attached.
        Packaging = "packaging",
        /// Being prepared.
        PreProduction = "pre_production",
        /// Being shot.
        Production = "production",
        /// Being finished.
        PostProduction = "post_production",
        /// Made.
        Completed = "completed",
    }
}

vocabulary! {
    /// The life of a pitch; see [`crate::lifecycle`].
    PitchStatus ("status") {
        /// Its creator alone sees it.
        Draft = "draft",
        /// On the site.
        Published = "published",
        /// Taken off the site.
        Archived = "archived",
    }
}

vocabulary! {
    /// Who may read a published pitch.
    Visibility ("visibility") {
        /// Anyone reads all of it.
        Public = "public",
        /// Anyone reads the public part, the holder of an NDA the rest.
        Nda = "nda",
        /// Not on the site.
        Private = "private",
    }
}

vocabulary! {
    /// What an account is for.
    Role ("role") {
        /// Publishes pitches.
        Creator = "creator",
        /// Invests in them.
        Investor = "investor",
        /// Produces them.
        Production = "production",
        /// Runs the site.
        Admin = "admin",
    }
}

vocabulary! {
    /// The life of an NDA; see [`crate::lifecycle`].
    NdaStatus ("NDA status") {
        /// Asked for.
        Requested = "requested",
        /// Granted, until it expires.
        Approved = "approved",
        /// Refused.
        Rejected = "rejected",
        /// Taken back.
        Revoked = "revoked",
    }
}

vocabulary! {
    /// The life of an expression of interest; see [`crate::lifecycle`].
    InterestStatus ("interest status") {
        /// Said by the investor.
        Expressed = "expressed",
        /// Taken back by the investor.
        Withdrawn = "withdrawn",
        /// Taken up by the creator.
        Accepted = "accepted",
        /// Turned down by the creator.
        Declined = "declined",
    }
}

vocabulary! {
    /// Which side of a deal a list shows.
    Side ("side") {
        /// What I asked for.
        Outgoing = "outgoing",
        /// What was asked of me.
        Incoming = "incoming",
    }
}

vocabulary! {
    /// What a notification is about.
    NoticeKind ("notification kind") {
        /// To the creator: somebody asks for an NDA.
        NdaRequested = "nda_requested",
        /// To who asked: granted.
        NdaApproved = "nda_approved",
        /// To who asked: refused.
        NdaRejected = "nda_rejected",
        /// To who asked: taken back.
        NdaRevoked = "nda_revoked",
        /// To the creator: somebody is interested.
        InterestExpressed = "interest_expressed",
        /// To the creator: no longer.
        InterestWithdrawn = "interest_withdrawn",
        /// To the investor: taken up.
        InterestAccepted = "interest_accepted",
        /// To the investor: turned down.
        InterestDeclined = "interest_declined",
        /// To followers: somebody they follow has published.
        PitchPublished = "pitch_published",
        /// To who is followed now.
        Followed = "followed",
    }
}

vocabulary! {
    /// What a browser measures of a page.
    RumMetric ("metric") {
        /// Largest Contentful Paint, in milliseconds.
        Lcp = "lcp",
        /// Interaction to Next Paint, in milliseconds.
        Inp = "inp",
        /// Cumulative Layout Shift, without a unit.
        Cls = "cls",
        /// First Contentful Paint, in milliseconds.
        Fcp = "fcp",
        /// Time to First Byte, in milliseconds.
        Ttfb = "ttfb",
    }
}

vocabulary! {
    /// The order of a list.
    Sort ("sort") {
        /// Newest first.
        New = "new",
        /// Most watched of late first.
        Trending = "trending",
        /// Most watched ever first.
        Views = "views",
    }
}

/// What a list walks: everything listed, what needs no NDA, or a genre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// Every listed pitch.
    All,
    /// Every listed pitch that is readable without an NDA.
    Public,
    /// Every listed pitch of a genre.
    Genre(Genre),
}

impl Shelf {
    /// The text form in `pitch_listings`. No genre is called `all` or `public` (a test says so).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Public => "public",
            Self::Genre(genre) => genre.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_back() {
        for genre in Genre::ALL {
            assert_eq!(genre.as_str().parse(), Ok(*genre));
            assert!(!["all", "public"].contains(&genre.as_str()));
        }
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse(), Ok(*stage));
        }
    }

    #[test]
    fn unknown_words_are_told_what_is_known() {
        let error = "horrour".parse::<Format>().expect_err("it is misspelt");
        assert_eq!(
            error.to_string(),
            "not a known format: one of feature, short, series, limited_series, documentary, web_series"
        );
    }
}
