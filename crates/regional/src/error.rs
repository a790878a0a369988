//! What errors of tokio-postgres mean to a caller.

use pitchey_model::WalPosition;
use pitchey_store::StoreError;

/// A replica that has not replayed what a view demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica has replayed {replayed}, not {demanded}")]
pub struct Behind {
    /// What the view demands.
    pub demanded: WalPosition,
    /// How far the replica is.
    pub replayed: WalPosition,
}

/// What an error means.
pub fn store_error(error: tokio_postgres::Error) -> StoreError {
    match error.code().map(|state| state.code().to_owned()) {
        Some(code) => pitchey_reads::of_code(&code, error.into()),
        None if is_of_a_row(&error) => StoreError::Internal(error.into()),
        // The connection, or the way to it.
        None => StoreError::Unavailable(error.into()),
    }
}

/// Whether a value is not what the schema promises.
fn is_of_a_row(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<tokio_postgres::types::WrongType>()
            || cause.is::<tokio_postgres::types::WasNull>()
        {
            return true;
        }
        source = cause.source();
    }
    false
}
