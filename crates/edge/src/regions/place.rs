//! Places on the globe, and which is the nearest.

use http::{HeaderMap, HeaderName};

use super::colos::COLOS;

/// What Cloudflare tells of a client where it is asked to, and its mark on every request, which ends with the
/// code of the data centre.
const LATITUDE: HeaderName = HeaderName::from_static("cf-iplatitude");
const LONGITUDE: HeaderName = HeaderName::from_static("cf-iplongitude");
const RAY: HeaderName = HeaderName::from_static("cf-ray");

/// Kilometres; the globe is not quite round, which matters to nobody here.
const RADIUS: f64 = 6371.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// A place; `None` if there is none there.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_there.then_some(Self {
            latitude,
            longitude,
        })
    }

    /// Where a data centre of Cloudflare is, by its code: that of an airport near by.
    pub fn of_colo(code: &str) -> Option<Self> {
        let found = COLOS.binary_search_by_key(&code, |(code, ..)| code).ok()?;
        let (_, latitude, longitude) = COLOS[found];
        Self::new(f64::from(latitude), f64::from(longitude))
    }

    /// Where a client is, or at least the data centre that it has come to, by what a proxy in front says.
    pub fn told(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let degrees = |name| text(name)?.parse().ok();
        let exact = degrees(&LATITUDE)
            .zip(degrees(&LONGITUDE))
            .and_then(|(latitude, longitude)| Self::new(latitude, longitude));
        exact.or_else(|| Self::of_colo(text(&RAY)?.rsplit_once('-')?.1))
    }

    /// How far another place is along a great circle, in kilometres.
    pub fn distance(self, other: Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = ((b - a) / 2.0).sin().powi(2);
        let along = (other.longitude - self.longitude).to_radians() / 2.0;
        let haversine = across + a.cos() * b.cos() * along.sin().powi(2);
        2.0 * RADIUS * haversine.sqrt().min(1.0).asin()
    }
}

/// The places in the order of their distance, of equal ones the first first; in their own order for one who
/// is nobody knows where.
pub fn nearest(places: &[Place], from: Option<Place>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    if let Some(from) = from {
        // It is stable.
        order.sort_by(|a, b| {
            let distance = |index: &usize| from.distance(places[*index]);
            distance(a).total_cmp(&distance(b))
        });
    }
    order
}
