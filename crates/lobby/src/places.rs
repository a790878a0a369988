//! How many connections there are, of whom and from where.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use pitchey_model::UserId;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// In all.
    pub all: usize,
    /// Of one account.
    pub per_user: usize,
    /// From one address.
    pub per_address: usize,
}

/// The places that are taken. What was taken is to be freed with the same arguments, once.
#[derive(Debug, Default)]
pub struct Places {
    all: usize,
    users: HashMap<UserId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl Places {
    /// How many accounts have a connection.
    pub fn accounts(&self) -> usize {
        self.users.len()
    }

    /// Takes a place, if there is one.
    #[must_use]
    pub fn take(&mut self, limits: PlaceLimits, user: Option<UserId>, address: IpAddr) -> bool {
        let of = user.map_or(0, |user| count(&self.users, &user));
        let from = count(&self.addresses, &address);
        if self.all >= limits.all || of >= limits.per_user || from >= limits.per_address {
            return false;
        }
        self.all += 1;
        *self.addresses.entry(address).or_default() += 1;
        if let Some(user) = user {
            *self.users.entry(user).or_default() += 1;
        }
        true
    }

    /// Frees a place.
    pub fn free(&mut self, user: Option<UserId>, address: IpAddr) {
        self.all = self.all.saturating_sub(1);
        release(&mut self.addresses, &address);
        if let Some(user) = user {
            release(&mut self.users, &user);
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn release<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_limit_holds_and_what_is_freed_can_be_taken_again() {
        let limits = PlaceLimits {
            all: 4,
            per_user: 1,
            per_address: 2,
        };
        let [here, there] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let [ann, bob] = [1, 2].map(|user| Some(UserId(Uuid::from_u128(user))));
        let mut places = Places::default();
        assert!(places.take(limits, ann, here));
        assert!(!places.take(limits, ann, there), "one for each account");
        assert!(places.take(limits, bob, here));
        assert!(!places.take(limits, None, here), "two from each address");
        assert!(places.take(limits, None, there));
        assert!(places.take(limits, None, there));
        let elsewhere = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert!(!places.take(limits, None, elsewhere), "four in all");
        assert_eq!(places.accounts(), 2);
        places.free(ann, here);
        assert_eq!(places.accounts(), 1);
        assert!(places.take(limits, ann, elsewhere));
    }
}
