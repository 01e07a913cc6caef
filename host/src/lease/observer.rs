//! Which other hosts are dead, as one host sees it by its own clock.
//!
//! Nobody's wall clock is believed, and no store expires anything: a host lives while the counter
//! of its session moves. Whoever saw it stand still for a whole time to live, without having lost
//! the store out of sight meanwhile, may end that session; the store refuses when the counter has
//! moved after all.

use std::collections::HashMap;
use std::time::Duration;

use super::term::Term;
use crate::record::Session;
use crate::run::id::SessionId;

/// Beats that may lie between two looks; with a longer gap it was the looker who was away.
const UNBROKEN: u32 = 2;

/// What one host has seen of the others.
#[derive(Debug)]
pub struct Observer {
    term: Term,
    looked: Option<Duration>,
    peers: HashMap<SessionId, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    counter: u64,
    /// When it was first seen to stand there.
    since: Duration,
}

/// A session that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Whose.
    pub session: Session,
    /// Where its counter stands.
    pub counter: u64,
}

impl Observer {
    /// One that has seen nothing yet.
    pub fn new(term: Term) -> Self {
        Self { term, looked: None, peers: HashMap::new() }
    }

    /// Takes in what a beat that was answered at `now` (time since the machine's start) said of the
    /// others. Answers who is dead; who is still there at the next look is so again.
    pub fn look(&mut self, now: Duration, peers: &[(Session, u64)]) -> Vec<Dead> {
        let Some(ttl) = self.term.ttl() else { return Vec::new() };
        let gap = self.looked.map(|looked| now.saturating_sub(looked));
        let unbroken = gap.is_some_and(|gap| gap <= self.term.beat() * UNBROKEN);
        self.looked = Some(now);
        let before = std::mem::take(&mut self.peers);
        let mut dead = Vec::new();
        for (session, counter) in peers {
            let known = before.get(&session.id).filter(|seen| seen.counter == *counter);
            let since = known.filter(|_| unbroken).map_or(now, |seen| seen.since);
            self.peers.insert(session.id, Seen { counter: *counter, since });
            if ttl <= now.saturating_sub(since) {
                dead.push(Dead { session: session.clone(), counter: *counter });
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(3);

    fn peer(id: u128) -> Session {
        Session { id: SessionId::from_bits(id), host: format!("h{id}"), generation: 1 }
    }

    /// What is dead after each look, as ids; looks are `(second, counters of the peers 1, 2, ...)`.
    fn looks(looks: &[(u64, &[u64])]) -> Vec<Vec<u64>> {
        let mut observer = Observer::new(Term::of(TTL));
        let mut found = Vec::new();
        for (second, counters) in looks {
            let peers: Vec<_> = (1..).map(peer).zip(counters.iter().copied()).collect();
            let dead = observer.look(Duration::from_secs(*second), &peers);
            let id = |dead: &Dead| dead.session.host[1..].parse().unwrap();
            found.push(dead.iter().map(id).collect());
        }
        found
    }

    #[test]
    fn a_counter_that_stands_still_for_the_whole_time_is_a_dead_host() {
        let dead = looks(&[(10, &[5, 5]), (11, &[5, 6]), (12, &[5, 7]), (13, &[5, 8])]);
        assert_eq!(dead, [vec![], vec![], vec![], vec![1]]);
    }

    #[test]
    fn a_counter_that_moves_begins_anew() {
        let dead = looks(&[
            (10, &[5]),
            (12, &[5]),
            (13, &[6]),
            (14, &[6]),
            (15, &[6]),
            (16, &[6]),
            (17, &[6]),
            (18, &[7]),
        ]);
        assert_eq!(dead, [vec![], vec![], vec![], vec![], vec![], vec![1], vec![1], vec![]]);
    }

    #[test]
    fn a_gap_in_the_own_sight_begins_anew() {
        let away = looks(&[(10, &[5]), (11, &[5]), (14, &[5]), (15, &[5]), (16, &[5]), (17, &[5])]);
        assert_eq!(away, [vec![], vec![], vec![], vec![], vec![], vec![1]]);
        let late_by_a_beat = looks(&[(10, &[5]), (12, &[5]), (13, &[5])]);
        assert_eq!(late_by_a_beat[2], [1]);
    }

    #[test]
    fn a_host_that_left_is_forgotten_and_without_leases_nobody_is_dead() {
        let mut observer = Observer::new(Term::of(TTL));
        let at = Duration::from_secs;
        assert!(observer.look(at(10), &[(peer(1), 5)]).is_empty());
        assert!(observer.look(at(11), &[]).is_empty());
        for second in 12..15 {
            assert!(observer.look(at(second), &[(peer(1), 5)]).is_empty(), "{second}");
        }
        assert_eq!(observer.look(at(15), &[(peer(1), 5)]).len(), 1);
        let mut alone = Observer::new(Term::UNBOUNDED);
        assert!(alone.look(at(0), &[(peer(1), 5)]).is_empty());
        assert!(alone.look(at(1_000), &[(peer(1), 5)]).is_empty());
    }
}
