use super::*;
use time::macros::datetime;

fn mapper() -> Mapper {
    Mapper::new("back-catalogue", datetime!(2026-05-04 13:00 UTC)).expect("the name is good")
}

fn record(title: &str, year: i64) -> Record {
    Record {
        title: title.to_owned(),
        year,
        ..Record::default()
    }
}

fn film(record: &Record) -> Film {
    mapper().film(record).expect("the record is good")
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_genre_of_the_film_data_is_known() {
    // The words of the data set that the importer was written for.
    let words = "Action, Adventure, Animated, Biography, Comedy, Crime, Dance, Disaster, Documentary, Drama, \
                 Erotic, Family, Fantasy, Found Footage, Historical, Horror, Independent, Legal, Live Action, \
                 Martial Arts, Musical, Mystery, Noir, Performance, Political, Romance, Satire, Science Fiction, \
                 Short, Silent, Slasher, Sport, Sports, Spy, Superhero, Supernatural, Suspense, Teen, Thriller, \
                 War, Western";
    let mapped: Vec<_> = words.split(", ").filter_map(genre).collect();
    assert_eq!(mapped.len(), 41);
    for known in Genre::ALL {
        assert!(mapped.contains(known), "{known}");
    }
    assert_eq!(genre("Science Fiction"), Some(Genre::ScienceFiction));
    assert_eq!(genre(" sport "), Some(Genre::Sports));
    assert_eq!(genre("Splatter"), None);
}

#[test]
fn the_format_follows_from_the_genres() {
    let table: &[(&[&str], Format, &[Genre])] = &[
        (&[], Format::Feature, &[]),
        (&["Drama", "Drama"], Format::Feature, &[Genre::Drama]),
        (
            &["Short", "Documentary"],
            Format::Short,
            &[Genre::Short, Genre::Documentary],
        ),
        (&["Documentary"], Format::Documentary, &[Genre::Documentary]),
        (&["Sport", "Sports"], Format::Feature, &[Genre::Sports]),
    ];
    for (words, format, genres) in table {
        let film = film(&Record {
            genres: strings(words),
            ..record("A", 1915)
        });
        assert_eq!(
            (film.format, &film.genres[..]),
            (*format, *genres),
            "{words:?}"
        );
    }
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let mut mapper = mapper();
    let many: Vec<String> = Genre::ALL
        .iter()
        .take(9)
        .map(|genre| genre.as_str().to_owned())
        .collect();
    let film = mapper
        .film(&Record {
            genres: [strings(&["Splatter", "Splatter", "Giallo"]), many].concat(),
            cast: (0..120)
                .map(|n| format!("Actor {n}"))
                .chain(strings(&["  "]))
                .collect(),
            extract: Some("Word ".repeat(1200)),
            ..record("A", 1915)
        })
        .expect("nothing of that makes it bad");
    assert_eq!((film.genres.len(), film.cast.len()), (8, 100));
    assert!(film.synopsis.chars().count() <= 5000 && film.synopsis.ends_with('…'));
    assert!(film.logline.chars().count() <= 500 && film.logline.ends_with('…'));
    let left_out = mapper.adjustments;
    assert_eq!(
        left_out.unknown_genres.into_iter().collect::<Vec<_>>(),
        [("Giallo".to_owned(), 1), ("Splatter".to_owned(), 2)]
    );
    assert_eq!(
        (
            left_out.genres_cut,
            left_out.casts_cut,
            left_out.synopses_cut
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_name_that_is_none_is_left_out() {
    let mut mapper = mapper();
    let film = mapper
        .film(&Record {
            cast: vec![" ".to_owned(), "x".repeat(201), " Theda  Bara ".to_owned()],
            ..record("A", 1915)
        })
        .expect("the rest is good");
    assert_eq!(film.cast, ["Theda  Bara"]);
    assert_eq!(mapper.adjustments.names_left_out, 2);
}

#[test]
fn bad_records_are_refused() {
    let table = [
        (record("", 1915), "title: must not be empty"),
        (
            record("a\0b", 1915),
            "title: must not contain the control character U+0000",
        ),
        (
            record(&"x".repeat(201), 1915),
            "title: must have at most 200 characters, has 201",
        ),
        (record("A", 1869), "year: 1869 is not between 1870 and 2200"),
        (record("A", 2201), "year: 2201 is not between 1870 and 2200"),
        (
            record("A", i64::MIN),
            "year: -9223372036854775808 is not between 1870 and 2200",
        ),
        (
            Record {
                extract: Some("a\u{1b}b".into()),
                ..record("A", 1915)
            },
            "extract: must not contain the control character U+001B",
        ),
        (
            Record {
                cast: strings(&["a\u{1f}b"]),
                ..record("A", 1915)
            },
            "cast: must not contain the control character U+001F",
        ),
        (
            Record {
                href: Some("x".repeat(501)),
                ..record("A", 1915)
            },
            "href: must have at most 500 characters, has 501",
        ),
    ];
    for (record, reason) in table {
        assert_eq!(mapper().film(&record), Err(reason.to_owned()));
    }
}

#[test]
fn the_creator_is_the_first_billed_name() {
    let table: &[(&[&str], &str, &str)] = &[
        (&["Theda Bara", "Einar Linden"], "theda-bara", "Theda Bara"),
        (&[], "back-catalogue", "back-catalogue"),
        (
            &["Alois Havrilla (narrator)"],
            "alois-havrilla",
            "Alois Havrilla",
        ),
        (
            &["Dave (Tex) O'Brien"],
            "dave-tex-obrien",
            "Dave (Tex) O'Brien",
        ),
        (
            &["voices of", "(narrated by)", "Lee Tracy"],
            "lee-tracy",
            "Lee Tracy",
        ),
        (&["50 Cent"], "50-cent", "50 Cent"),
        (&["Renée Adorée"], "renee-adoree", "Renée Adorée"),
        (&["..."], "back-catalogue", "back-catalogue"),
    ];
    for (cast, username, display_name) in table {
        let creator = film(&Record {
            cast: strings(cast),
            ..record("A", 1915)
        })
        .creator;
        assert_eq!(
            (creator.username.as_str(), creator.display_name.as_str()),
            (*username, *display_name)
        );
    }
}

#[test]
fn one_person_is_one_account_and_two_are_two() {
    let of = |name: &str| account(name).expect("it is a name");
    assert_eq!(of("Andy García").id, of("Andy Garcia").id);
    assert_ne!(of("Andy Garcia").id, of("Andy Garci").id);
    // Too long for a user name, and alike up to there.
    let (one, two) = (
        of("A year in the life of Susan Tom and her 11 children"),
        of("A year in the life of Susan Tom and her 12 children"),
    );
    assert_ne!(one.username, two.username);
    // In letters that a user name cannot have.
    assert_ne!(of("黒澤 明").username, of("三船 敏郎").username);
    assert!(of("黒澤 明").username.as_str().starts_with("person-"));
    for account in [one, two, of("黒澤 明"), of("Lee Tracy")] {
        assert_ne!(account.username, account.long_username);
    }
}

#[test]
fn films_that_differ_are_told_apart() {
    let href = |href: &str, title, year| Record {
        href: Some(href.into()),
        ..record(title, year)
    };
    let bara = Record {
        cast: strings(&["Theda Bara"]),
        ..record("Carmen", 1915)
    };
    let films = [
        href("Carmen_(1915_Cecil_B._DeMille_film)", "Carmen", 1915),
        href("Carmen_(1915_Raoul_Walsh_film)", "Carmen", 1915),
        // One article for a film and its remake.
        href("The_Train_Wreckers", "The Train Wreckers", 1905),
        href("The_Train_Wreckers", "The Train Wreckers", 1925),
        record("Carmen", 1915),
        bara.clone(),
        Record {
            cast: strings(&["Geraldine Farrar"]),
            ..record("Carmen", 1915)
        },
    ];
    let mut ids: Vec<_> = films.iter().map(|record| film(record).id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), films.len());

    // The same film: more is known of its cast, and an empty name of an article is none.
    let more = Record {
        cast: strings(&["Theda Bara (actress)", "Einar Linden"]),
        href: Some(String::new()),
        extract: Some("More.".into()),
        ..bara.clone()
    };
    let (before, after) = (film(&bara), film(&more));
    assert_eq!(
        (&before.natural_key, before.id),
        (&after.natural_key, after.id)
    );
    assert_ne!(before.content_hash, after.content_hash);
}

#[test]
fn every_field_is_in_the_hash() {
    let base = Record {
        cast: strings(&["A", "B"]),
        genres: strings(&["Drama"]),
        extract: Some("One. Two.".into()),
        href: Some("x".into()),
        ..record("T", 1915)
    };
    let variants = [
        Record {
            title: "U".into(),
            ..base.clone()
        },
        Record {
            year: 1916,
            ..base.clone()
        },
        Record {
            cast: strings(&["A", "C"]),
            ..base.clone()
        },
        Record {
            cast: strings(&["AB"]),
            ..base.clone()
        },
        Record {
            genres: strings(&["Drama", "War"]),
            ..base.clone()
        },
        Record {
            extract: Some("One. Three.".into()),
            ..base.clone()
        },
    ];
    for variant in variants {
        assert_ne!(
            film(&variant).content_hash,
            film(&base).content_hash,
            "{variant:?}"
        );
    }
    assert_eq!(film(&base).content_hash, film(&base.clone()).content_hash);
}

#[test]
fn publication_is_in_the_year_of_release_and_never_in_the_future() {
    for year in [1870, 1915, 1969, 1970, 2025] {
        let film = film(&record("A", year));
        assert_eq!(i64::from(film.published_at.year()), year);
        assert_eq!(film.id.0.get_version_num(), 7);
    }
    let today = datetime!(2026-05-04 0:00 UTC);
    assert_eq!(film(&record("A", 2200)).published_at, today);
    assert!(film(&record("A", 2026)).published_at <= today);
    assert_ne!(
        film(&record("A", 1915)).published_at,
        film(&record("B", 1915)).published_at
    );
}

#[test]
fn a_key_of_any_length_fits() {
    let film = film(&Record {
        href: Some("\"".repeat(500)),
        ..record(&"\\".repeat(200), 1915)
    });
    assert!(film.natural_key.chars().count() <= MAX_KEY);
}

#[test]
fn a_catalogue_needs_a_name() {
    assert!(Mapper::new("…", datetime!(2026-05-04 0:00 UTC)).is_none());
}
