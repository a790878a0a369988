//! Cutting prose where it may be cut.

/// Words that a full stop follows without ending a sentence.
const ABBREVIATIONS: &[&str] = &[
    "Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "Lt", "Col", "Gen", "Sgt", "Capt", "Maj", "Prof",
    "Rev", "Hon", "vs", "No", "Vol", "Inc", "Ltd", "Co", "Bros", "Mt", "Ft", "ca", "c", "approx",
    "feat",
];

/// The first sentence of `prose` on one line; the next ones too while that is shorter than `enough`
/// characters and they fit. At most `max` characters.
pub(super) fn opening(prose: &str, enough: usize, max: usize) -> String {
    let line = prose.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut end = 0;
    for boundary in boundaries(&line) {
        let length = line[..boundary].chars().count();
        if end > 0 && length > max {
            break;
        }
        end = boundary;
        if length >= enough {
            break;
        }
    }
    cut(&line[..end], max)
}

/// `text` if it has at most `max` characters, else as many whole words as fit, and an ellipsis.
pub(super) fn cut(text: &str, max: usize) -> String {
    let Some((limit, _)) = text.char_indices().nth(max) else {
        return text.to_owned();
    };
    // One character is kept for the ellipsis.
    let fits = text[..limit]
        .char_indices()
        .next_back()
        .map_or("", |(at, _)| &text[..at]);
    let whole = match fits.rfind(char::is_whitespace) {
        // A word of half the length or more is cut rather than left out.
        Some(space) if space * 2 >= fits.len() => &fits[..space],
        _ => fits,
    };
    format!("{}…", whole.trim_end_matches([' ', '\n', ',', ';', ':']))
}

/// Where sentences end, the end of the text included.
fn boundaries(line: &str) -> impl Iterator<Item = usize> + '_ {
    let spaces = line.match_indices(' ').map(|(at, _)| at);
    spaces
        .filter(|&space| ends_sentence(&line[..space], &line[space + 1..]))
        .chain((!line.is_empty()).then_some(line.len()))
}

fn ends_sentence(before: &str, after: &str) -> bool {
    let bare = before.trim_end_matches(['"', '\'', '”', '’', ')', ']']);
    if bare.ends_with(['!', '?']) {
        // A title may end so in the middle of a sentence.
        return starts_sentence(after) && bare.len() == before.len();
    }
    let Some(stem) = bare.strip_suffix('.') else {
        return false;
    };
    let word = stem.rsplit([' ', '(', '"', '“']).next().unwrap_or_default();
    // "D. W. Griffith", "U.S. Army", "Ph.D. student"
    let initial = word.chars().count() == 1 || word.contains('.');
    starts_sentence(after) && !initial && !ABBREVIATIONS.contains(&word)
}

fn starts_sentence(after: &str) -> bool {
    after
        .trim_start_matches(['"', '\'', '“', '‘', '(', '['])
        .starts_with(|c: char| c.is_uppercase() || c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_end_where_a_reader_would_say() {
        let table = [
            ("One film. It is good.", "One film."),
            (
                "A film by D. W. Griffith and Dr. Who. Next.",
                "A film by D. W. Griffith and Dr. Who.",
            ),
            (
                "It is set in the U.S. Army. Next.",
                "It is set in the U.S. Army.",
            ),
            ("Anvil! The Story of Anvil is a film. Next.", "Anvil!"),
            ("He said \"no.\" Then it ends.", "He said \"no.\""),
            (
                "A 1918 film vs. the world.\nNext\tone.",
                "A 1918 film vs. the world.",
            ),
            ("no end", "no end"),
            ("", ""),
        ];
        for (prose, expected) in table {
            assert_eq!(opening(prose, 1, 100), expected);
        }
    }

    #[test]
    fn a_short_sentence_takes_the_next_while_it_fits() {
        assert_eq!(
            opening("Short. And more. And more.", 10, 100),
            "Short. And more."
        );
        assert_eq!(
            opening("Short. This one is too long to fit.", 10, 20),
            "Short."
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_words() {
        assert_eq!(cut("one two, three", 9), "one two…");
        assert_eq!(cut("one two", 7), "one two");
        assert_eq!(cut("éééééééé", 4), "ééé…");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_allowed(prose in "[ a-zA-Z.!?\"é]{0,200}", max in 1_usize..80) {
            prop_assert!(opening(&prose, 20, max).chars().count() <= max);
            prop_assert!(cut(&prose, max).chars().count() <= max);
        }
    }
}
