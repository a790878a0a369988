//! Free ports, secrets and blocking on a future: what every server here needs.

use std::future::Future;
use std::net::TcpListener;
use std::thread;

use anyhow::{Context as _, Result};

/// A TCP port of the loopback interface that nobody listens on at this moment.
///
/// Somebody may take it before the caller does, so whoever starts a server on it tries again with
/// another when that happens.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Whether nobody listens on the port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Random hexadecimal digits, two for each byte.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).context("no randomness")?;
    Ok(hex(&buffer))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs a future to its end on a thread of its own, so that it works inside any runtime or none.
pub(crate) fn block_on<T: Send, F: Future<Output = Result<T>>>(
    future: impl FnOnce() -> F + Send,
) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(future())
        });
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
