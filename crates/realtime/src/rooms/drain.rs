//! Sending everyone elsewhere, in waves, so that those who take them are not overrun.

use std::time::Duration;

use super::{Action, Authority, Now, Rooms, SocketId, Timer};
use crate::CloseCode;
use crate::encode;
use crate::log::millis;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Who is told at once, and the random number that their delays follow from.
pub(super) struct Wave {
    sockets: Vec<SocketId>,
    seed: u64,
}

impl<A: Authority> Rooms<A> {
    /// Begins to send everyone elsewhere; `seed` is random. Nobody may connect any more.
    pub fn drain(&mut self, now: Now, seed: u64) {
        let everyone: Vec<SocketId> = self.sockets.keys().copied().collect();
        let waves = usize::try_from(self.settings.drain.as_secs()).unwrap_or(usize::MAX);
        let size = self
            .settings
            .wave
            .max(everyone.len().div_ceil(waves.max(1)))
            .max(1);
        let waves = everyone.chunks(size).map(|sockets| Wave {
            sockets: sockets.to_vec(),
            seed,
        });
        self.waves = waves.rev().collect();
        self.next_wave(now);
    }

    pub(super) fn next_wave(&mut self, now: Now) {
        let Some(wave) = self.waves.pop() else {
            return;
        };
        for socket in wave.sockets {
            let Some(known) = self.sockets.get(&socket) else {
                continue;
            };
            // What waits for its window goes before the end.
            for name in known.rooms.clone() {
                self.flush(now, &name);
            }
            let spread = millis(SECOND);
            let delay = (wave.seed ^ socket.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) % spread;
            self.actions.push(Action::Send {
                socket,
                frame: encode::drain(delay),
            });
            self.close(now, socket, CloseCode::Drain);
        }
        if !self.waves.is_empty() {
            self.timers.insert((now.monotonic + SECOND, Timer::Wave));
        }
    }
}
