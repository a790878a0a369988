//! The engine over made-up time: what each test says happens at exact moments, and nothing is left to
//! chance but the order of tasks that are ready at once.
//!
//! World, shared tier and memory are those of the simulation, with faults only where a test makes one.

mod bed;

mod coalescing;
mod following;
mod freshness;
mod invalidation;
mod loading;
mod many;
mod properties;
mod regressions;
mod second_cache;
mod shared_tier;
mod warming;
