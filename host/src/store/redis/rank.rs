//! Who goes first with what is due, without an election: every host ranks itself among those that
//! live, and waits a little longer the further down it stands. When the first is dead, the second
//! is late by one step.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::run::id::SessionId;

/// How much longer each rank waits.
const STEP: Duration = Duration::from_millis(15);
/// Ranks that differ; those behind wait no longer.
const LAST: u64 = 20;

/// How many of `peers` go before `own` for a shard (rendezvous hashing).
pub(super) fn rank(own: SessionId, peers: impl Iterator<Item = SessionId>, shard: u32) -> u64 {
    let mine = weight(own, shard);
    peers.filter(|peer| mine < weight(*peer, shard)).count() as u64
}

/// How long a host of this rank waits.
pub(super) fn delay(rank: u64) -> Duration {
    STEP * u32::try_from(rank.min(LAST)).unwrap_or(0)
}

fn weight(session: SessionId, shard: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(session.to_string().as_bytes());
    hash.update(shard.to_be_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::id::Id128;

    #[test]
    fn each_of_a_fleet_has_a_rank_of_its_own_and_the_next_moves_up_when_one_is_gone() {
        let fleet: Vec<SessionId> = (1..=5).map(Id128::from_bits).collect();
        let rank_of = |own: SessionId, fleet: &[SessionId]| {
            rank(own, fleet.iter().copied().filter(|peer| *peer != own), 0)
        };
        let mut ranks: Vec<u64> = fleet.iter().map(|own| rank_of(*own, &fleet)).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3, 4]);
        let first = fleet.iter().position(|own| rank_of(*own, &fleet) == 0).unwrap();
        let second = fleet.iter().copied().find(|own| rank_of(*own, &fleet) == 1).unwrap();
        let mut left = fleet.clone();
        left.remove(first);
        assert_eq!(rank_of(second, &left), 0);
        assert_eq!(delay(0), Duration::ZERO);
        assert!(delay(1) < delay(2) && delay(99) == delay(LAST));
    }
}
