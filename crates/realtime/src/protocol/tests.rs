use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> (Option<u64>, ErrorCode) {
    match ClientFrame::parse(text) {
        Err(Unusable::Refused(refusal)) => (refusal.id, refusal.code),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn every_op_is_read() {
    let subscribe =
        r#"{"id":1,"op":"subscribe","room":"pitch:0a","since":{"epoch":"e","offset":41}}"#;
    match ClientFrame::parse(subscribe) {
        Ok(ClientFrame::Subscribe {
            id: 1,
            room,
            since: Some(since),
        }) => {
            assert_eq!(
                (room.as_str(), &*since.epoch, since.offset),
                ("pitch:0a", "e", 41)
            );
        }
        other => panic!("{other:?}"),
    }
    match ClientFrame::parse(r#" {"room":"lists", "id":3,"op":"publish","data": [1, "x"]} "#) {
        Ok(ClientFrame::Publish { id: 3, data, .. }) => assert_eq!(data.get(), r#"[1, "x"]"#),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        ClientFrame::parse(r#"{"id":2,"op":"unsubscribe","room":"lists"}"#),
        Ok(ClientFrame::Unsubscribe { id: 2, .. })
    ));
    assert!(matches!(
        ClientFrame::parse(r#"{"id":4,"op":"presence","room":"lists"}"#),
        Ok(ClientFrame::Presence { id: 4, .. })
    ));
    assert!(matches!(
        ClientFrame::parse(r#"{"op":"ping"}"#),
        Ok(ClientFrame::Ping)
    ));
}

#[test]
fn what_is_no_object_ends_the_connection() {
    for text in [
        "",
        "x",
        "[]",
        "1",
        "null",
        "\"ping\"",
        "{",
        r#"{"op":"ping"} x"#,
        "{\"op\":}",
    ] {
        let read = ClientFrame::parse(text);
        assert!(
            matches!(read, Err(Unusable::NotProtocol)),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn each_mistake_has_its_code() {
    use ErrorCode::{BadRoom, MissingField, RepeatedField, UnknownField, UnknownOp, WrongType};
    for (text, id, code) in [
        ("{}", None, MissingField),
        (r#"{"id":1}"#, Some(1), MissingField),
        (r#"{"op":1}"#, None, WrongType),
        (r#"{"id":5,"op":"shout"}"#, Some(5), UnknownOp),
        (
            r#"{"id":5,"op":"Subscribe","room":"lists"}"#,
            Some(5),
            UnknownOp,
        ),
        (r#"{"op":"ping","id":1}"#, Some(1), UnknownField),
        (
            r#"{"id":1,"op":"subscribe","room":"lists","x":1}"#,
            Some(1),
            UnknownField,
        ),
        (
            r#"{"id":1,"op":"unsubscribe","room":"lists","since":null}"#,
            Some(1),
            UnknownField,
        ),
        (
            r#"{"id":1,"op":"ping","op":"ping"}"#,
            Some(1),
            RepeatedField,
        ),
        (r#"{"op":"subscribe","room":"lists"}"#, None, MissingField),
        (r#"{"id":1,"op":"subscribe"}"#, Some(1), MissingField),
        (
            r#"{"id":1,"op":"publish","room":"lists"}"#,
            Some(1),
            MissingField,
        ),
        (
            r#"{"id":"1","op":"subscribe","room":"lists"}"#,
            None,
            WrongType,
        ),
        (
            r#"{"id":-1,"op":"subscribe","room":"lists"}"#,
            None,
            WrongType,
        ),
        (
            r#"{"id":1.5,"op":"subscribe","room":"lists"}"#,
            None,
            WrongType,
        ),
        (
            r#"{"id":9007199254740992,"op":"subscribe","room":"lists"}"#,
            None,
            WrongType,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":["lists"]}"#,
            Some(1),
            WrongType,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"Lists"}"#,
            Some(1),
            BadRoom,
        ),
        (r#"{"id":1,"op":"subscribe","room":""}"#, Some(1), BadRoom),
        (
            r#"{"id":1,"op":"subscribe","room":"pitch:"}"#,
            Some(1),
            BadRoom,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"a:b:c"}"#,
            Some(1),
            BadRoom,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"lists","since":1}"#,
            Some(1),
            WrongType,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"lists","since":null}"#,
            Some(1),
            WrongType,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"lists","since":{"epoch":"e"}}"#,
            Some(1),
            WrongType,
        ),
        (
            r#"{"id":1,"op":"subscribe","room":"lists","since":{"epoch":"e","offset":1,"x":1}}"#,
            Some(1),
            WrongType,
        ),
    ] {
        assert_eq!(refusal(text), (id, code), "{text}");
    }
    let long = format!(
        r#"{{"id":1,"op":"subscribe","room":"{}"}}"#,
        "a".repeat(MAX_ROOM + 1)
    );
    assert_eq!(refusal(&long), (Some(1), BadRoom));
}

proptest! {
    #[test]
    fn nothing_that_is_sent_makes_it_panic(text in ".{0,200}") {
        let _ = ClientFrame::parse(&text);
    }

    #[test]
    fn published_json_passes_unchanged(text in "[ -~äß\u{2028}]{0,50}", number in any::<i64>()) {
        let data = serde_json::json!({ "text": text, "list": [number, null, true] }).to_string();
        let frame = format!(r#"{{"id":1,"op":"publish","room":"lists","data":{data}}}"#);
        match ClientFrame::parse(&frame) {
            Ok(ClientFrame::Publish { data: read, .. }) => prop_assert_eq!(read.get(), data),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn names_of_rooms_are_what_the_schema_says(text in "[a-z0-9:-]{0,70}") {
        let mut parts = text.splitn(2, ':');
        let kind = parts.next().unwrap_or_default();
        let id = parts.next();
        let fine = !kind.is_empty()
            && kind.chars().all(|c| c.is_ascii_lowercase())
            && id.is_none_or(|id| !id.is_empty() && !id.contains(':'))
            && text.len() <= MAX_ROOM;
        prop_assert_eq!(RoomName::new(&text).is_some(), fine);
    }
}
