//! The schema against what is read and written.

use serde_json::{Value, json};

use super::SCHEMA;
use crate::encode::{self, Change, Present};
use crate::log::{Position, Update};
use crate::protocol::{ClientFrame, ErrorCode, Refusal, RoomName};

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

/// Whether a value is what a schema says; knows the keywords that ours uses, and no others.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let fields = schema.as_object().expect("a schema is an object");
    fields.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$ref" => {
            let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            let target = &root["$defs"][name.expect("a local reference")];
            assert!(target.is_object(), "{rule} leads nowhere");
            is_valid(root, target, value)
        }
        "oneOf" => {
            let choices = rule.as_array().expect("a list");
            choices
                .iter()
                .filter(|choice| is_valid(root, choice, value))
                .count()
                == 1
        }
        "type" => match rule.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("null") => value.is_null(),
            other => panic!("type {other:?}"),
        },
        "const" => value == rule,
        "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
        "properties" => value.as_object().is_none_or(|object| {
            let known = rule.as_object().expect("an object");
            let mut both = known
                .iter()
                .filter_map(|(name, rule)| Some((rule, object.get(name)?)));
            both.all(|(rule, value)| is_valid(root, rule, value))
        }),
        "required" => {
            let mut names = rule.as_array().into_iter().flatten();
            names.all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()))
        }
        "additionalProperties" => value.as_object().is_none_or(|object| {
            object
                .keys()
                .all(|key| schema["properties"].get(key).is_some())
        }),
        "items" => {
            let mut items = value.as_array().into_iter().flatten();
            items.all(|item| is_valid(root, rule, item))
        }
        "minimum" => value
            .as_f64()
            .is_none_or(|number| Some(number) >= rule.as_f64()),
        "maximum" => value
            .as_f64()
            .is_none_or(|number| Some(number) <= rule.as_f64()),
        "maxLength" => value
            .as_str()
            .is_none_or(|text| Some(text.len() as u64) <= rule.as_u64()),
        "pattern" => value
            .as_str()
            .is_none_or(|text| RoomName::new(text).is_some()),
        "$schema" | "title" | "description" | "$defs" => true,
        other => panic!("the validator does not know {other:?}"),
    })
}

fn is(kind: &str, value: &Value) -> bool {
    let root = schema();
    is_valid(&root, &root["$defs"][kind], value)
}

#[test]
fn what_the_schema_allows_is_read_and_nothing_else() {
    let root = schema();
    let ops = root["$defs"]["client"]["oneOf"].as_array().expect("a list");
    assert_eq!(ops.len(), 5);
    let example = |name: &str| match name {
        "id" => json!(7),
        "room" => json!("pitch:0"),
        "since" => json!({"epoch": "e", "offset": 1}),
        "data" => json!({"a": [1]}),
        other => panic!("no example of {other}"),
    };
    for op in ops {
        let name = op["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let name = name.expect("a reference");
        let schema = &root["$defs"][name];
        let mut whole = json!({});
        for field in schema["properties"].as_object().expect("fields").keys() {
            let value = if field == "op" {
                json!(name)
            } else {
                example(field)
            };
            whole[field] = value;
        }
        let agrees = |frame: &Value| {
            let read = ClientFrame::parse(&frame.to_string()).is_ok();
            assert_eq!(read, is("client", frame), "{frame}");
            read
        };
        assert!(agrees(&whole));
        for field in schema["properties"].as_object().expect("fields").keys() {
            let mut without = whole.clone();
            without.as_object_mut().expect("an object").remove(field);
            let needed = schema["required"]
                .as_array()
                .expect("a list")
                .contains(&json!(field));
            assert_eq!(agrees(&without), !needed, "{without}");
            for other in [json!(null), json!(-1), json!("?"), json!({}), json!(1.5)] {
                let mut changed = whole.clone();
                changed[field] = other;
                agrees(&changed);
            }
        }
        let mut more = whole.clone();
        more["more"] = json!(1);
        assert!(!agrees(&more));
    }
}

#[test]
fn what_is_written_is_what_the_schema_says() {
    let room = RoomName::new("pitch:0").expect("a name");
    let head = Position {
        epoch: "e\"\\".into(),
        offset: 3,
    };
    let update = Update {
        position: head.clone(),
        at_ms: 1_700_000_000_000,
        data: "[1]".into(),
    };
    let item = encode::item(&room, &update);
    let members = ["ann".to_owned()].into();
    let name = "ann".to_owned();
    let change = Change {
        count: 1,
        joined: vec![&name],
        left: vec![],
    };
    let items = [item.clone(), item.clone()];
    let mut frames = vec![
        encode::subscribed(1, &head, None, false),
        encode::subscribed(1, &head, Some(&items), true),
        encode::published(1, &head),
        encode::done(1),
        encode::present(
            1,
            &Present {
                count: 1,
                members: Some(&members),
            },
        ),
        encode::present(
            1,
            &Present {
                count: 0,
                members: None,
            },
        ),
        encode::presence_change(&room, change),
        encode::batch(items.iter()),
        encode::pong(),
        encode::drain(10),
    ];
    for code in ErrorCode::ALL {
        frames.push(encode::refused(&Refusal::new(Some(1), code, "no")));
        frames.push(encode::refused(&Refusal::new(None, code, "no")));
    }
    for frame in frames {
        let value: Value = serde_json::from_slice(&frame).expect("JSON");
        assert!(is("server", &value), "{value}");
        assert!(!is("client", &value), "{value}");
    }
    assert!(!is("server", &json!({"batch": [{"room": "lists"}]})));
}
