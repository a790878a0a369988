//! One WebSocket: its frames to the node, the node's to it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::SinkExt as _;
use pitchey_realtime::{CloseCode, SocketId};
use pitchey_runtime::{SystemRuntime, timeout};

use crate::mailbox::{Mail, Mailbox};
use crate::node::Node;
use crate::wire::{answer_goodbye, close_code, say_goodbye};

/// So many frames are handed to the connection before they are pushed out.
const BURST: usize = 64;

/// How long the client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a connection ends.
enum Farewell {
    /// It is gone, or takes nothing any more.
    None,
    /// The client has closed.
    Answer,
    /// The hub closes.
    Say(CloseCode),
}

/// Serves a connection until it ends. The node has forgotten it then.
pub(crate) async fn run(
    mut socket: WebSocket,
    node: Arc<Node>,
    (id, mailbox): (SocketId, Arc<Mailbox>),
    (runtime, write_timeout): (SystemRuntime, Duration),
) {
    let farewell = loop {
        tokio::select! {
            mail = mailbox.next() => {
                let writing = write(&mut socket, &mailbox, mail);
                match timeout(&runtime, write_timeout, writing).await {
                    Ok(Ok(None)) => {}
                    Ok(Ok(Some(code))) => break Farewell::Say(code),
                    Ok(Err(_)) | Err(_) => break Farewell::None,
                }
            }
            message = socket.recv() => match message {
                None => break Farewell::None,
                Some(Ok(Message::Close(_))) => break Farewell::Answer,
                Some(Ok(Message::Text(text))) => node.frame(id, text.as_str()),
                Some(Ok(Message::Binary(_))) => node.close(id, CloseCode::NotText),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => node.heard(id),
                Some(Err(error)) => match close_code(error) {
                    Some(code) => {
                        node.close(id, code);
                        break Farewell::Say(code);
                    }
                    None => break Farewell::None,
                },
            },
        }
    };
    node.disconnect(id);
    // A client that takes too long for its part is left.
    let _ = match farewell {
        Farewell::None => Ok(()),
        Farewell::Answer => timeout(&runtime, GOODBYE, answer_goodbye(&mut socket)).await,
        Farewell::Say(code) => timeout(&runtime, GOODBYE, say_goodbye(&mut socket, code)).await,
    };
}

/// Writes what waits, and then pushes it out. The code if that was the last.
async fn write(
    socket: &mut WebSocket,
    mailbox: &Mailbox,
    first: Mail,
) -> Result<Option<CloseCode>, axum::Error> {
    let mut next = Some(first);
    for _ in 0..BURST {
        match next {
            Some(Mail::Frame(text)) => socket.feed(Message::Text(text)).await?,
            Some(Mail::Ping) => socket.feed(Message::Ping(bytes::Bytes::new())).await?,
            Some(Mail::Close(code)) => {
                socket.flush().await?;
                return Ok(Some(code));
            }
            None => break,
        }
        next = mailbox.try_next();
    }
    // The loop may have taken one more than it has written.
    if let Some(Mail::Frame(text)) = next {
        socket.feed(Message::Text(text)).await?;
    }
    socket.flush().await?;
    Ok(None)
}

/// Tells a client why it may not stay.
pub(crate) async fn refuse(mut socket: WebSocket, code: CloseCode, runtime: &SystemRuntime) {
    let _ = timeout(runtime, GOODBYE, say_goodbye(&mut socket, code)).await;
}
