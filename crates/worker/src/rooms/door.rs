//! The way in to the rooms: origin, ticket and secret, looked at in whatever isolate, so that the object is
//! asked for nothing by those who may not ask.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use http::header::{ACCEPT, ALLOW, AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use js_sys::Array;
use pitchey_lobby::events::{self, MAX_LAST};
use pitchey_lobby::{MAX_BODY, NotLetIn, Secret, ask_for_events, ask_for_socket};
use pitchey_model::ticket::{Ticket, TicketKeys};
use pitchey_realtime::RoomName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answer::path_and_query;
use crate::config::Config;
use crate::meter::METER;
use crate::platform::{length, milliseconds};
use crate::rooms::Realtime;
use crate::{fields, glue};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// Fields of requests that mean something to a hub. Cookies are none of them: it reads tickets.
const TO_HUB: [HeaderName; 6] = [
    ACCEPT,
    AUTHORIZATION,
    LAST_EVENT_ID,
    ORIGIN,
    SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
];

thread_local! {
    static DOOR: RefCell<Option<Rc<Door>>> = const { RefCell::new(None) };
}

struct Door {
    leads: Leads,
    max_header_bytes: usize,
}

enum Leads {
    Elsewhere(Uri),
    Here {
        keys: Box<TicketKeys>,
        secret: Secret,
        allowed_origins: Vec<String>,
    },
}

/// Who was let in, as it goes on to the object.
#[derive(Serialize, Deserialize)]
pub(crate) struct Admitted {
    pub(crate) ticket: Ticket,
    pub(crate) address: IpAddr,
    /// Of one who only listens: to which rooms, and the last event that was heard.
    pub(crate) listens: Option<(Vec<RoomName>, String)>,
}

/// Opens the door that the configuration asks for, if it does.
pub(crate) fn open(config: &Config) {
    let leads = config.realtime.as_ref().and_then(|realtime| {
        Some(match realtime {
            Realtime::Elsewhere(hub) => Leads::Elsewhere(hub.clone()),
            Realtime::Here(here) => Leads::Here {
                keys: Box::new(here.keys()?),
                secret: here.secret(),
                allowed_origins: here.allowed_origins.clone(),
            },
        })
    });
    DOOR.set(leads.map(|leads| {
        Rc::new(Door {
            leads,
            max_header_bytes: config.max_header_bytes,
        })
    }));
}

/// Looks at a request for `/ws`, `/sse` or `/publish`. Gives nothing if there are no rooms; a response to one
/// who is not let in; else an array: a word, and what goes with it.
///
/// | word | |
/// | --- | --- |
/// | `ws`, `sse` | who goes on to the object |
/// | `publish` | the body goes on to the object |
/// | `closed` | the connection is to be made, and closed with this code and reason |
/// | `hub` | the address and the fields with which a hub is asked |
#[wasm_bindgen]
pub fn admit(method: &str, url: &str, fields: &str) -> JsValue {
    let Some(door) = DOOR.with_borrow(Clone::clone) else {
        return JsValue::UNDEFINED;
    };
    match door.look(method, path_and_query(url), fields) {
        Ok(Admission::GoesOn(word, more)) => {
            Array::of2(&JsValue::from_str(word), &JsValue::from_str(&more)).into()
        }
        Ok(Admission::Hub(address, fields)) => {
            let [word, address, fields] = ["hub", &address, &fields].map(JsValue::from_str);
            Array::of3(&word, &address, &fields).into()
        }
        Err(response) => responded(&response).into(),
    }
}

/// The ticket that is shown, if it is one of ours.
fn read(keys: &TicketKeys, shown: &str, now: OffsetDateTime) -> Option<Ticket> {
    let ticket = keys.read(shown, now).ok();
    METER.with(|meter| meter.ticket.called(shown.len(), ticket.is_some()));
    ticket
}

enum Admission {
    GoesOn(&'static str, String),
    Hub(String, String),
}

impl Door {
    fn look(
        &self,
        method: &str,
        target: &str,
        text: &str,
    ) -> Result<Admission, Response<&'static str>> {
        if text.len() > self.max_header_bytes {
            return Err(refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let mut headers = fields::read(text);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let publishes = path == "/publish";
        let allowed = if publishes { Method::POST } else { Method::GET };
        let right_method = method == allowed.as_str();
        let (keys, secret, origins) = match &self.leads {
            // A hub takes publications from the origin itself.
            Leads::Elsewhere(_) if publishes => return Err(refusal(StatusCode::NOT_FOUND)),
            Leads::Elsewhere(_) | Leads::Here { .. } if !right_method => {
                let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED);
                let allow = if publishes { "POST" } else { "GET" };
                let headers = response.headers_mut();
                headers.insert(ALLOW, HeaderValue::from_static(allow));
                return Err(response);
            }
            Leads::Elsewhere(hub) => {
                let mut kept = HeaderMap::new();
                for name in TO_HUB {
                    for value in headers.get_all(&name) {
                        kept.append(name.clone(), value.clone());
                    }
                }
                let authority = hub.authority().map_or("", |authority| authority.as_str());
                let scheme = hub.scheme_str().unwrap_or("https");
                let address = format!("{scheme}://{authority}{target}");
                return Ok(Admission::Hub(address, fields::write(&kept)));
            }
            Leads::Here {
                keys,
                secret,
                allowed_origins,
            } => (keys, secret, allowed_origins),
        };
        if publishes {
            secret.check(&headers).map_err(refusal)?;
            return match length(&headers) {
                None => Err(refusal(StatusCode::LENGTH_REQUIRED)),
                Some(length) if length > MAX_BODY as u64 => {
                    Err(refusal(StatusCode::PAYLOAD_TOO_LARGE))
                }
                Some(_) => Ok(Admission::GoesOn("publish", String::new())),
            };
        }
        let address = headers
            .get(CF_CONNECTING_IP)
            .and_then(|address| address.to_str().ok()?.parse().ok());
        let address: IpAddr = address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let now = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_millis(milliseconds());
        let admitted = |ticket, listens| {
            let admitted = Admitted {
                ticket,
                address: address.to_canonical(),
                listens,
            };
            // Nothing in it fails to be JSON.
            serde_json::to_string(&admitted).unwrap_or_default()
        };
        if path == "/ws" {
            let is_upgrade = headers
                .get(UPGRADE)
                .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
            let shown = ask_for_socket(&headers, is_upgrade, origins);
            let shown = shown.map_err(NotLetIn::response)?;
            let ticket = shown.and_then(|shown| read(keys, shown, now));
            return Ok(match ticket {
                Some(ticket) => Admission::GoesOn("ws", admitted(ticket, None)),
                // A page learns why by the code of a close alone.
                None => Admission::GoesOn("closed", String::new()),
            });
        }
        let rooms = events::rooms(query).ok_or_else(|| {
            let mut response = refusal(StatusCode::BAD_REQUEST);
            *response.body_mut() = "name up to 32 rooms, as ?rooms=lists,pitch:…\n";
            response
        })?;
        let shown = ask_for_events(&headers, origins).map_err(NotLetIn::response)?;
        let ticket = read(keys, shown, now).ok_or_else(|| NotLetIn::Ticket.response())?;
        let last = headers.remove(LAST_EVENT_ID);
        let last = last.as_ref().and_then(|last| last.to_str().ok());
        let last = last.filter(|last| last.len() <= MAX_LAST);
        let listens = (rooms, last.unwrap_or_default().to_owned());
        Ok(Admission::GoesOn("sse", admitted(ticket, Some(listens))))
    }
}

fn refusal(status: StatusCode) -> Response<&'static str> {
    let mut response = NotLetIn::Ticket.response();
    *response.status_mut() = status;
    *response.body_mut() = status.canonical_reason().unwrap_or_default();
    response
}

/// A response as JavaScript takes it.
pub(crate) fn responded<T: AsRef<str>>(response: &Response<T>) -> glue::Response {
    let fields = fields::write(response.headers());
    let body = JsValue::from_str(response.body().as_ref());
    glue::respond(response.status().as_u16(), &fields, &body)
}
