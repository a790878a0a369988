//! Titles, loglines, synopses and names, put together from the word lists.
//!
//! Words are drawn unevenly, like those of a language, and invented proper names give the vocabulary the long
//! tail of rare words that real texts have: a search meets words that stand in half of the pitches and words
//! that stand in one.

use super::random::Random;
use super::words;

/// How unevenly words are drawn.
const WORD_SKEW: f64 = 1.8;
const COINED_SKEW: f64 = 2.6;

/// The word lists, taken apart once.
#[derive(Debug)]
pub(super) struct Vocabulary {
    nouns: Vec<&'static str>,
    adjectives: Vec<&'static str>,
    roles: Vec<&'static str>,
    places: Vec<String>,
    verbs: Vec<&'static str>,
    verbs_past: Vec<&'static str>,
    first_names: Vec<&'static str>,
    surnames: Vec<String>,
    onsets: Vec<&'static str>,
    middles: Vec<&'static str>,
    endings: Vec<&'static str>,
    loglines: Vec<Template>,
    sentences: Vec<Template>,
}

type Template = Vec<Piece>;

#[derive(Debug, Clone, Copy)]
enum Piece {
    Literal(&'static str),
    /// "a" or "an", by the word that follows.
    Article(&'static str, &'static str),
    Slot(Slot),
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Noun,
    Adjective,
    Role,
    Place,
    Name,
    Coined,
    Verb,
    Past,
    Pronoun,
    Possessive,
}

fn template(text: &'static str) -> Template {
    let mut pieces = Vec::new();
    for (index, part) in text.split(['{', '}']).enumerate() {
        // Every second part stands in braces.
        if index % 2 == 0 {
            pieces.push(Piece::Literal(part));
            continue;
        }
        for (index, word) in part.split(' ').enumerate() {
            if index > 0 {
                pieces.push(Piece::Literal(" "));
            }
            pieces.push(match word {
                "a" => Piece::Article("a", "an"),
                "A" => Piece::Article("A", "An"),
                "noun" => Piece::Slot(Slot::Noun),
                "adj" => Piece::Slot(Slot::Adjective),
                "role" => Piece::Slot(Slot::Role),
                "place" => Piece::Slot(Slot::Place),
                "name" | "Name" => Piece::Slot(Slot::Name),
                "coined" => Piece::Slot(Slot::Coined),
                "verb" => Piece::Slot(Slot::Verb),
                "past" => Piece::Slot(Slot::Past),
                "pron" => Piece::Slot(Slot::Pronoun),
                "pos" => Piece::Slot(Slot::Possessive),
                literal => Piece::Literal(literal),
            });
        }
    }
    pieces
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        let list = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        // A hyphen holds words of one name together in the list.
        let spaced = |text: &'static str| {
            list(text)
                .iter()
                .map(|name| name.replace('-', " "))
                .collect()
        };
        Self {
            nouns: list(words::NOUNS),
            adjectives: list(words::ADJECTIVES),
            roles: list(words::ROLES),
            places: spaced(words::PLACES),
            verbs: list(words::VERBS),
            verbs_past: list(words::VERBS_PAST),
            first_names: list(words::FIRST_NAMES),
            surnames: spaced(words::SURNAMES),
            onsets: list(words::ONSETS),
            middles: list(words::MIDDLES),
            endings: list(words::ENDINGS),
            loglines: words::LOGLINES.iter().map(|text| template(text)).collect(),
            sentences: words::SENTENCES.iter().map(|text| template(text)).collect(),
        }
    }

    pub(super) fn first_name(&self, random: &mut Random) -> &'static str {
        self.first_names[random.skewed(self.first_names.len(), 1.3)]
    }

    /// A surname, one in four invented.
    pub(super) fn surname(&self, random: &mut Random, out: &mut String) {
        if random.chance(0.25) {
            self.coined(random, out);
        } else {
            out.push_str(&self.surnames[random.skewed(self.surnames.len(), 1.5)]);
        }
    }

    pub(super) fn name(&self, random: &mut Random) -> String {
        let mut name = self.first_name(random).to_owned();
        name.push(' ');
        self.surname(random, &mut name);
        name
    }

    pub(super) fn place(&self, random: &mut Random) -> &str {
        &self.places[random.skewed(self.places.len(), 1.4)]
    }

    /// A proper name that nobody has.
    pub(super) fn coined(&self, random: &mut Random, out: &mut String) {
        let (onsets, middles, endings) =
            (self.onsets.len(), self.middles.len(), self.endings.len());
        let pick = random.skewed(onsets * middles * endings, COINED_SKEW);
        out.push_str(self.onsets[pick % onsets]);
        out.push_str(self.middles[pick / onsets % middles]);
        out.push_str(self.endings[pick / onsets / middles]);
    }

    pub(super) fn title(&self, random: &mut Random) -> String {
        let mut title = String::with_capacity(40);
        match random.below(20) {
            0..=3 => {
                title.push_str("The ");
                self.adjective_noun(random, &mut title);
            }
            4 | 5 => self.adjective_noun(random, &mut title),
            6 | 7 => {
                title.push_str("The ");
                self.capital_noun(random, &mut title);
                title.push_str(" of ");
                self.coined(random, &mut title);
            }
            8 => {
                self.coined(random, &mut title);
                title.push_str("'s ");
                self.capital_noun(random, &mut title);
            }
            9 => {
                let at = title.len();
                self.capital_noun(random, &mut title);
                title.insert_str(
                    at,
                    if starts_with_vowel(&title) {
                        "An "
                    } else {
                        "A "
                    },
                );
                title.push_str(" in ");
                title.push_str(self.place(random));
            }
            10 | 11 => {
                self.capital_noun(random, &mut title);
                title.push_str(" and ");
                self.capital_noun(random, &mut title);
            }
            12 => {
                title.push_str(self.first_name(random));
                title.push_str(" and the ");
                self.adjective_noun(random, &mut title);
            }
            13 => {
                title.push_str("Return to ");
                self.coined(random, &mut title);
            }
            14 => {
                title.push_str(self.place(random));
                title.push(' ');
                self.capital_noun(random, &mut title);
            }
            15 => {
                title.push_str(self.first_name(random));
                title.push(' ');
                self.surname(random, &mut title);
            }
            16 => {
                title.push_str("The ");
                self.capital_noun(random, &mut title);
                title.push_str(" That ");
                capitalise(random.pick(&self.verbs_past), &mut title);
            }
            17 => {
                let count = random.pick(&[
                    "Two",
                    "Three",
                    "Seven",
                    "Nine",
                    "Twelve",
                    "A Hundred",
                    "1,001",
                ]);
                title.push_str(count);
                title.push(' ');
                capitalise(&plural(self.noun(random)), &mut title);
                title.push_str(" in ");
                self.coined(random, &mut title);
            }
            18 => {
                capitalise(random.pick(&self.verbs), &mut title);
                title.push_str(" the ");
                self.adjective_noun(random, &mut title);
            }
            _ => {
                self.adjective_noun(random, &mut title);
                title.push_str(": ");
                self.coined(random, &mut title);
                title.push_str(random.pick(&[
                    " Rising",
                    " Falls",
                    " Part II",
                    " Part III",
                    " Forever",
                    " Nights",
                ]));
            }
        }
        title
    }

    fn adjective_noun(&self, random: &mut Random, out: &mut String) {
        capitalise(self.adjective(random), out);
        out.push(' ');
        self.capital_noun(random, out);
    }

    fn capital_noun(&self, random: &mut Random, out: &mut String) {
        capitalise(self.noun(random), out);
    }

    fn noun(&self, random: &mut Random) -> &'static str {
        self.nouns[random.skewed(self.nouns.len(), WORD_SKEW)]
    }

    fn adjective(&self, random: &mut Random) -> &'static str {
        self.adjectives[random.skewed(self.adjectives.len(), WORD_SKEW)]
    }

    /// A sentence that says what it is about.
    pub(super) fn logline(&self, random: &mut Random) -> String {
        let mut text = String::with_capacity(200);
        self.fill(
            &self.loglines[random.below(self.loglines.len())],
            random,
            &mut text,
        );
        text
    }

    /// So many sentences.
    pub(super) fn prose(&self, random: &mut Random, sentences: usize) -> String {
        let mut text = String::with_capacity(sentences * 110);
        for index in 0..sentences {
            if index > 0 {
                text.push(' ');
            }
            self.fill(
                &self.sentences[random.below(self.sentences.len())],
                random,
                &mut text,
            );
        }
        text
    }

    fn fill(&self, template: &Template, random: &mut Random, out: &mut String) {
        let she = random.chance(0.5);
        let mut article = None;
        for piece in template {
            let before = out.len();
            match *piece {
                Piece::Article(a, an) => {
                    article = Some((a, an));
                    continue;
                }
                // The blank between an article and its word waits with the article.
                Piece::Literal(" ") if article.is_some() => continue,
                Piece::Literal(text) => out.push_str(text),
                Piece::Slot(slot) => match slot {
                    Slot::Noun => out.push_str(self.noun(random)),
                    Slot::Adjective => out.push_str(self.adjective(random)),
                    Slot::Role => out.push_str(random.pick(&self.roles)),
                    Slot::Place => out.push_str(self.place(random)),
                    Slot::Name => {
                        out.push_str(self.first_name(random));
                        out.push(' ');
                        self.surname(random, out);
                    }
                    Slot::Coined => self.coined(random, out),
                    Slot::Verb => out.push_str(random.pick(&self.verbs)),
                    Slot::Past => out.push_str(random.pick(&self.verbs_past)),
                    Slot::Pronoun => out.push_str(if she { "she" } else { "he" }),
                    Slot::Possessive => out.push_str(if she { "her" } else { "his" }),
                },
            }
            if let Some((a, an)) = article.take() {
                let chosen = if starts_with_vowel(&out[before..]) {
                    an
                } else {
                    a
                };
                out.insert(before, ' ');
                out.insert_str(before, chosen);
            }
        }
    }
}

/// Whether "an" goes before it: by sound, as far as the words here need.
fn starts_with_vowel(word: &str) -> bool {
    let word = word.to_lowercase();
    let silent = ["heir", "honest", "honor", "hour"];
    let you = ["uni", "use", "one", "eu", "ewe"];
    (word.starts_with(['a', 'e', 'i', 'o', 'u', 'é'])
        && !you.iter().any(|start| word.starts_with(start)))
        || silent.iter().any(|start| word.starts_with(start))
}

/// More than one of it, as far as the words here need.
fn plural(noun: &str) -> String {
    let (stem, ending) = if let Some(stem) = noun.strip_suffix("man") {
        (stem, "men")
    } else if noun == "child" {
        (noun, "ren")
    } else if noun == "tooth" {
        ("t", "eeth")
    } else if let Some(stem) = noun.strip_suffix("fe").or_else(|| noun.strip_suffix("lf")) {
        (
            &noun[..stem.len() + usize::from(noun.ends_with("lf"))],
            "ves",
        )
    } else if let Some(stem) = noun
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']))
    {
        (stem, "ies")
    } else if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") {
        (noun, "es")
    } else {
        (noun, "s")
    };
    format!("{stem}{ending}")
}

fn capitalise(word: &str, out: &mut String) {
    let mut chars = word.chars();
    out.extend(chars.next().into_iter().flat_map(char::to_uppercase));
    out.push_str(chars.as_str());
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_are_within_the_bounds_of_the_schema_and_filled_in() {
        let vocabulary = Vocabulary::new();
        for index in 0..5_000 {
            let random = &mut Random::of(1, Purpose::Text, index);
            let texts = [
                (vocabulary.title(random), 200),
                (vocabulary.logline(random), 500),
                (vocabulary.prose(random, 6), 5000),
                (vocabulary.name(random), 80),
            ];
            for (text, max) in texts {
                let length = text.chars().count();
                assert!((1..=max).contains(&length), "{text}");
                assert!(
                    !text.contains(['{', '}']) && !text.contains("  ") && text.trim() == text,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn every_template_reads_as_a_sentence() {
        let vocabulary = Vocabulary::new();
        let random = &mut Random::of(1, Purpose::Text, 0);
        for template in vocabulary.loglines.iter().chain(&vocabulary.sentences) {
            let mut text = String::new();
            vocabulary.fill(template, random, &mut text);
            assert!(
                text.ends_with('.') && text.starts_with(char::is_uppercase),
                "{text}"
            );
            for wrong in [" a a", " a e", " a i", " an b", " an t", "noun", "adj "] {
                assert!(!text.contains(wrong), "{wrong}: {text}");
            }
        }
    }

    #[test]
    fn grammar_is_good_enough() {
        let an: Vec<_> = ["heiress", "unknown", "uniform", "ocean", "house", "étude"]
            .map(starts_with_vowel)
            .into();
        assert_eq!(an, [true, true, false, true, false, true]);
        let many: Vec<_> = [
            "woman", "wolf", "knife", "city", "valley", "witch", "child", "star",
        ]
        .map(plural)
        .into();
        assert_eq!(
            many,
            [
                "women", "wolves", "knives", "cities", "valleys", "witches", "children", "stars"
            ]
        );
    }

    #[test]
    fn the_vocabulary_has_common_and_rare_words() {
        let vocabulary = Vocabulary::new();
        let mut words: Vec<String> = Vec::new();
        for index in 0..5_000 {
            let random = &mut Random::of(1, Purpose::Text, index);
            words.extend(vocabulary.title(random).split(' ').map(str::to_owned));
        }
        let different: HashSet<&String> = words.iter().collect();
        let nights = words.iter().filter(|word| *word == "Night").count();
        assert!(different.len() > 2_000, "{}", different.len());
        assert!(nights > 50, "{nights}");
        assert!(words.iter().any(|word| !word.is_ascii()));
        assert!(words.iter().any(|word| word.contains('\'')));
    }
}
