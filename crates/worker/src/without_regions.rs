//! In the place of databases near readers, in a module that was built without them: who names some is told.

use crate::config::Reader;

#[cfg(target_arch = "wasm32")]
use {crate::platform::Workers, pitchey_edge::regions::Regions};

/// There are none.
#[derive(Clone, Debug)]
pub enum Regional {}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(crate) fn regional(&mut self) -> Option<Regional> {
        if self.look_up("REGIONS").is_some_and(|text| !text.is_empty()) {
            self.tell(
                "REGIONS",
                "need the module in dist-regions: this one is without them",
            );
        }
        None
    }
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn missing(regional: &Regional) -> Vec<&str> {
    match *regional {}
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn regions(regional: &Regional, _: &Workers) -> Regions {
    match *regional {}
}
