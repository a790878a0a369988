//! Nothing: the integration tests are in `tests/it`, one binary for all, so that they link once.
