//! The front door: how many requests are worked on at once, who waits, and who is sent away.
//!
//! The limit follows the latency of what is inside, between two bounds; [`Shedder`] decides who
//! waits. A refusal costs microseconds, because its text is made once.

use std::num::NonZeroUsize;

use axum::response::Response;
use metrics::Counter;
use pitchey_api::RequestId;
use pitchey_resilience::{
    Deadline, GradientConfig, GradientLimit, Permit, Priority, Shed, ShedConfig, Shedder,
};
use pitchey_runtime::{Clock, Monotonic, Timer};

use refusal::Refusal;

mod refusal;

/// What the front door is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadSettings {
    /// The queue, and the most requests inside at once.
    pub shed: ShedConfig,
    /// The limit never shrinks below this; equal to the other bound it is fixed.
    pub least: NonZeroUsize,
}

/// The limit on requests inside, and the queue in front of it.
pub struct FrontDoor<R: Clock + Clone + Send + 'static> {
    runtime: R,
    shedder: Shedder<R>,
    /// Not there if the limit is fixed.
    gradient: Option<GradientLimit>,
    refusal: Refusal,
    shed: [Counter; LABELS.len()],
}

/// The labels of the priorities, in their order.
const LABELS: [&str; 4] = ["critical", "normal", "low", "background"];

impl<R: Clock + Timer + Clone + Send + 'static> FrontDoor<R> {
    /// A front door with nobody in front of it. Its figures go to the recorder that is installed now.
    pub fn new(settings: OverloadSettings, runtime: R) -> Self {
        let OverloadSettings { shed, least } = settings;
        let gradient = GradientConfig::new(least, shed.limit);
        Self {
            shedder: Shedder::new(runtime.clone(), shed),
            gradient: (least < shed.limit).then(|| GradientLimit::new(gradient)),
            refusal: Refusal::after(shed.retry_after),
            shed: LABELS
                .map(|priority| metrics::counter!("requests_shed_total", "priority" => priority)),
            runtime,
        }
    }

    /// Lets a request in when it is its turn, or sends it away, which is counted.
    pub async fn enter(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Inside<'_, R>, Shed> {
        match self.shedder.admit(priority, deadline).await {
            Ok(permit) => Ok(Inside {
                door: self,
                entered: self.runtime.now(),
                _permit: permit,
            }),
            Err(shed) => {
                self.shed[priority as usize].increment(1);
                Err(shed)
            }
        }
    }

    /// The answer to a request that was sent away.
    pub fn refuse(&self, request: &RequestId) -> Response {
        self.refusal.answer(request)
    }

    /// Publishes how many requests are inside and how many wait.
    pub fn record_metrics(&self) {
        metrics::gauge!("requests_inside").set(self.shedder.in_flight() as f64);
        metrics::gauge!("requests_waiting").set(self.shedder.queued() as f64);
    }
}

/// A request that was let in. Dropping it makes room.
#[must_use = "a request that is dropped is over"]
pub struct Inside<'a, R: Clock + Timer + Clone + Send + 'static> {
    door: &'a FrontDoor<R>,
    entered: Monotonic,
    _permit: Permit,
}

impl<R: Clock + Timer + Clone + Send + 'static> Drop for Inside<'_, R> {
    /// Learns from the time that the request took, before its place is another's.
    fn drop(&mut self) {
        let Self { door, entered, .. } = self;
        if let Some(gradient) = &door.gradient {
            let now = door.runtime.now();
            let inside = door.shedder.in_flight();
            if let Some(limit) = gradient.observe(now - *entered, inside, now) {
                door.shedder.set_limit(limit);
                metrics::gauge!("requests_inside_limit").set(limit.get() as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests;
