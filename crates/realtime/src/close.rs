//! Why a connection ends: the codes of RFC 6455, section 7.4.1, and our own from 4000 on.

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The server goes away: connect again, to another.
    Drain,
    /// A frame is none of the protocol's.
    Protocol,
    /// A frame is binary.
    NotText,
    /// A text frame is not UTF-8.
    NotUtf8,
    /// A frame is longer than [`MAX_FRAME`](crate::protocol::MAX_FRAME).
    TooBig,
    /// Nothing was heard of the client for too long.
    Stale,
    /// The ticket is forged, expired or of another.
    BadTicket,
    /// The session has ended, or may no longer be here.
    Forbidden,
    /// The client reads more slowly than it is written to.
    Slow,
    /// Updates were missed for good: connect again, and load anew.
    Gap,
    /// Too many frames.
    Limits,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Drain,
        Self::Protocol,
        Self::NotText,
        Self::NotUtf8,
        Self::TooBig,
        Self::Stale,
        Self::BadTicket,
        Self::Forbidden,
        Self::Slow,
        Self::Gap,
        Self::Limits,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Drain => 1001,
            Self::Protocol => 1002,
            Self::NotText => 1003,
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Stale => 4000,
            Self::BadTicket => 4001,
            Self::Forbidden => 4003,
            Self::Slow => 4008,
            Self::Gap => 4010,
            Self::Limits => 4029,
        }
    }

    /// A word for logs, metrics and the reason on the wire.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Protocol => "protocol",
            Self::NotText => "not_text",
            Self::NotUtf8 => "not_utf8",
            Self::TooBig => "too_big",
            Self::Stale => "stale",
            Self::BadTicket => "bad_ticket",
            Self::Forbidden => "forbidden",
            Self::Slow => "slow",
            Self::Gap => "gap",
            Self::Limits => "limits",
        }
    }
}
