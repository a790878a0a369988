//! The protocol as a JSON Schema (draft 2020-12), for clients in other languages.

/// The schema: of a frame of the client and of a frame of the server, under `$defs`.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests;
