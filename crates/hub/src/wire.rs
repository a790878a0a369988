//! The `WebSocket`s themselves: their buffers and limits, and how they end.
//!
//! Public for `examples/echo.rs`, by which a foreign test suite meets the same.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use pitchey_realtime::CloseCode;
use tokio_tungstenite::tungstenite;

/// Most frames of clients are short, and there is a buffer for each connection.
const READ_BUFFER: usize = 1024;

/// How much a connection takes and holds, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest message and the longest frame.
    pub message: usize,
    /// What may be held of messages that were handed to it.
    pub waiting: usize,
}

/// Sets buffers and limits.
pub fn configured(upgrade: WebSocketUpgrade, limits: Limits) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(limits.waiting)
        .max_message_size(limits.message)
        .max_frame_size(limits.message)
        .accept_unmasked_frames(false)
}

/// What the client has done wrong; nothing if the connection is gone.
pub fn close_code(error: axum::Error) -> Option<CloseCode> {
    let error = error.into_inner().downcast::<tungstenite::Error>().ok()?;
    match *error {
        tungstenite::Error::Capacity(_) => Some(CloseCode::TooBig),
        tungstenite::Error::Utf8(_) => Some(CloseCode::NotUtf8),
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => None,
        tungstenite::Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// Closes, and reads until the client has understood.
pub async fn say_goodbye(socket: &mut WebSocket, code: CloseCode) {
    let frame = CloseFrame {
        code: code.code(),
        reason: code.reason().into(),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        read_to_end(socket).await;
    }
}

/// Answers the close that the client has sent: the answer was made when it was read, and goes out with the next
/// attempt to read.
pub async fn answer_goodbye(socket: &mut WebSocket) {
    read_to_end(socket).await;
}

async fn read_to_end(socket: &mut WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
