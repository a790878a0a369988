//! The whole table as text, so that a change of any cell is a change of this test.

use super::*;
use std::fmt::Write as _;

const ROLES: [(&str, Option<Role>); 5] = [
    ("anonymous", None),
    ("creator", Some(Role::Creator)),
    ("investor", Some(Role::Investor)),
    ("production", Some(Role::Production)),
    ("admin", Some(Role::Admin)),
];

const fn cell(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "yes",
        Verdict::SignIn => "401",
        Verdict::Forbidden => "403",
        Verdict::Hidden => "404",
    }
}

/// Nobody who is not signed in is the owner of anything or holds an NDA.
fn possible<R: PartialEq>(role: Option<Role>, relation: &R, stranger: &R) -> bool {
    role.is_some() || relation == stranger
}

#[test]
fn pitches() {
    let mut table = format!("{:39}", "role, relation, status, visibility");
    for right in PitchRight::ALL {
        let _ = write!(table, " {right:?}");
    }
    for status in PitchStatus::ALL {
        for visibility in Visibility::ALL {
            for (name, role) in ROLES {
                for relation in PitchRelation::ALL {
                    if !possible(role, relation, &PitchRelation::Stranger) {
                        continue;
                    }
                    let who = format!("{name} {relation:?} {status} {visibility}");
                    let cells = PitchRight::ALL
                        .iter()
                        .map(|right| cell(pitch(role, *relation, *status, *visibility, *right)));
                    let _ = write!(table, "\n{who:39} {}", cells.collect::<Vec<_>>().join(" "));
                }
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn deals() {
    let mut table = format!("{:20} {:?}", "role, relation", DealRight::ALL);
    for (name, role) in ROLES {
        for relation in DealRelation::ALL {
            if possible(role, relation, &DealRelation::Stranger) {
                let cells = DealRight::ALL
                    .iter()
                    .map(|right| cell(deal(role, *relation, *right)));
                let who = format!("{name} {relation:?}");
                let _ = write!(table, "\n{who:20} {}", cells.collect::<Vec<_>>().join(" "));
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn areas() {
    let mut table = format!("{:10} {:?}, beginning a pitch", "role", Area::ALL);
    for (name, role) in ROLES {
        let cells = Area::ALL.iter().map(|one| cell(area(role, *one)));
        let cells = cells.chain([cell(create_pitch(role))]);
        let _ = write!(table, "\n{name:10} {}", cells.collect::<Vec<_>>().join(" "));
    }
    insta::assert_snapshot!(table);
}

/// What must hold whatever the table says.
#[test]
fn the_protected_part_is_read_by_none_but_owner_admin_and_holder_unless_it_is_public() {
    for (_, role) in ROLES {
        for status in PitchStatus::ALL {
            for visibility in [Visibility::Nda, Visibility::Private] {
                let verdict = pitch(
                    role,
                    PitchRelation::Stranger,
                    *status,
                    visibility,
                    PitchRight::ReadFull,
                );
                assert_eq!(verdict == Verdict::Allowed, role == Some(Role::Admin));
            }
        }
    }
}

#[test]
fn nothing_is_changed_by_those_who_are_not_signed_in() {
    for status in PitchStatus::ALL {
        for visibility in Visibility::ALL {
            for right in &PitchRight::ALL[2..] {
                let verdict = pitch(None, PitchRelation::Stranger, *status, *visibility, *right);
                assert!(matches!(verdict, Verdict::SignIn | Verdict::Hidden));
            }
        }
    }
}

#[test]
fn rooms() {
    let id = uuid::Uuid::nil();
    let all = [
        ("pitch", Room::Pitch(crate::PitchId(id))),
        ("user", Room::User(crate::UserId(id))),
        ("nda", Room::Nda(crate::NdaId(id))),
        ("lists", Room::Lists),
        ("ops", Room::Ops),
    ];
    let mut table = format!("{:26} {:?}", "role, room, theirs to read", RoomRight::ALL);
    for (name, role) in ROLES {
        for (kind, of) in all {
            for inside in [false, true] {
                let cells = RoomRight::ALL
                    .iter()
                    .map(|right| cell(room(role, of, inside, *right)));
                let cells = cells.collect::<Vec<_>>().join(" ");
                let _ = write!(table, "\n{:26} {cells}", format!("{name} {kind} {inside}"));
            }
        }
    }
    insta::assert_snapshot!(table);
}
