//! Where the master is: what sentinels are asked, in which order, and what their answers mean. No connection is known here.

use super::mux::Access;
use super::resp::{Requests, Value};
use crate::clock::Timestamp;

/// How long one sentinel may take to answer, its dialling included.
const PATIENCE_MS: u64 = 500;
/// How often the master is asked for again while there is one: sentinels may have agreed on another.
const AGAIN_MS: u64 = 1_000;
/// After all sentinels were asked in vain.
const PAUSE_MS: u64 = 100;

/// What is to be done about sentinels now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// Ask this one, until this instant.
    Ask {
        which: usize,
        until: Timestamp,
    },
}

/// The state of asking.
#[derive(Debug)]
pub(super) struct Sentinels {
    places: Vec<Access>,
    service: String,
    /// Who answered last, or is asked now.
    current: usize,
    /// Whether `current` is asked now.
    asking: bool,
    /// How many were asked in vain, one after the other.
    vain: usize,
    next: Timestamp,
    master: Option<(String, u16)>,
    /// The number of the configuration that named it: each failover's is higher than the one before.
    epoch: u64,
    /// One of those that were asked in vain named the master of an older configuration.
    stale: bool,
    /// The master is needed, and not the one that was known.
    needed: bool,
}

impl Sentinels {
    pub fn new(places: Vec<Access>, service: String) -> Self {
        let (next, master, epoch, stale) = (Timestamp(0), None, 0, false);
        Self {
            places,
            service,
            current: 0,
            asking: false,
            vain: 0,
            next,
            master,
            epoch,
            stale,
            needed: false,
        }
    }

    pub fn place(&self, which: usize) -> Option<&Access> {
        self.places.get(which)
    }

    /// The question: where the master is, and what this sentinel's configuration is called.
    pub fn question(&self) -> Requests {
        let mut requests = Requests::default();
        requests.request(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.service.as_bytes()]);
        requests.request(&[b"SENTINEL", b"MASTER", self.service.as_bytes()]);
        requests
    }

    /// Somebody wants to dial the master: it is asked for, since it may be another than before.
    pub fn need(&mut self, now: Timestamp) {
        self.needed = true;
        self.next = self.next.min(now);
    }

    /// The master, for who needed it: told once.
    pub fn found(&mut self) -> Option<(String, u16)> {
        if self.needed || self.master.is_none() {
            return None;
        }
        self.master.clone()
    }

    /// What is to be done now; `up` is whether there is a connection to the master.
    pub fn look(&mut self, now: Timestamp, up: bool) -> Turn {
        if self.asking || now < self.next || !(self.needed || up) {
            return Turn::Nothing;
        }
        self.asking = true;
        Turn::Ask { which: self.current, until: now.plus_ms(PATIENCE_MS) }
    }

    /// A sentinel answered, or not. True when it names another master than the one that was known.
    ///
    /// One that has not heard of a failover yet still names the old master, which may be up again, and empty: it is not
    /// believed, unless no other one knows better.
    pub fn answered(&mut self, replies: Option<&[Value]>, now: Timestamp) -> bool {
        self.asking = false;
        let master = replies.and_then(|replies| address(replies.first()?));
        let epoch = replies.and_then(|replies| epoch(replies.get(1)?));
        let is_stale = epoch.is_some_and(|epoch| epoch < self.epoch);
        let Some(master) = master.filter(|_| !is_stale) else {
            self.stale |= is_stale;
            self.current = (self.current + 1) % self.places.len().max(1);
            self.vain += 1;
            let all = self.vain.is_multiple_of(self.places.len().max(1));
            self.next = if all { now.plus_ms(PAUSE_MS) } else { now };
            if all && std::mem::take(&mut self.stale) {
                // Perhaps they began anew.
                self.epoch = 0;
            }
            return false;
        };
        (self.vain, self.stale, self.needed) = (0, false, false);
        self.epoch = epoch.unwrap_or(self.epoch);
        self.next = now.plus_ms(AGAIN_MS);
        let other = self.master.as_ref().is_some_and(|known| *known != master);
        self.master = Some(master);
        other
    }
}

/// The answer's host and port.
fn address(reply: &Value) -> Option<(String, u16)> {
    let Value::Array(parts) = reply else { return None };
    let [Value::Text(host), Value::Text(port)] = parts.as_slice() else { return None };
    Some((host.to_string(), port.parse().ok()?))
}

/// What the answer's configuration is called, where it says so.
fn epoch(reply: &Value) -> Option<u64> {
    let Value::Array(parts) = reply else { return None };
    let mut pairs = parts.chunks_exact(2);
    let pair = pairs.find(|pair| pair.first().and_then(Value::as_text) == Some("config-epoch"))?;
    pair.get(1)?.as_text()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Sentinels, Turn};
    use crate::clock::Timestamp;
    use crate::redis::mux::Access;
    use crate::redis::resp::Value;

    fn sentinels() -> Sentinels {
        Sentinels::new(
            ["redis://a", "redis://b"].map(|url| Access::parse(url).unwrap()).to_vec(),
            "main".into(),
        )
    }

    fn texts(parts: &[&str]) -> Value {
        Value::Array(parts.iter().map(|part| Value::Text((*part).into())).collect())
    }

    fn master(host: &str, port: &str) -> [Value; 2] {
        [texts(&[host, port]), Value::Error("NOPERM".into())]
    }

    /// The same by the configuration of that number.
    fn named(host: &str, epoch: &str) -> [Value; 2] {
        [texts(&[host, "1"]), texts(&["name", "main", "config-epoch", epoch, "quorum"])]
    }

    fn asked(step: &Turn) -> Option<usize> {
        match step {
            Turn::Ask { which, .. } => Some(*which),
            Turn::Nothing => None,
        }
    }

    #[test]
    fn they_are_asked_in_turn_until_one_knows() {
        let mut all = sentinels();
        assert_eq!(all.look(Timestamp(0), false), Turn::Nothing, "nobody needs it");
        all.need(Timestamp(5));
        assert_eq!(asked(&all.look(Timestamp(5), false)), Some(0));
        assert_eq!(asked(&all.look(Timestamp(6), false)), None, "one at a time");
        assert!(!all.answered(None, Timestamp(10)));
        assert_eq!(asked(&all.look(Timestamp(10), false)), Some(1), "the next at once");
        // It does not know the service.
        assert!(!all.answered(Some(&[Value::Nil]), Timestamp(11)));
        assert_eq!(asked(&all.look(Timestamp(11), false)), None, "all were asked: a pause");
        assert_eq!(asked(&all.look(Timestamp(111), false)), Some(0));
        assert!(!all.answered(Some(&master("h", "1")), Timestamp(112)));
        assert_eq!(all.found(), Some(("h".into(), 1)));
    }

    #[test]
    fn a_lost_master_is_asked_for_anew_and_another_one_is_told() {
        let mut all = sentinels();
        all.need(Timestamp(0));
        all.look(Timestamp(0), false);
        all.answered(Some(&master("h", "1")), Timestamp(0));
        assert_eq!(asked(&all.look(Timestamp(999), true)), None);
        assert_eq!(asked(&all.look(Timestamp(1_000), false)), None, "without a connection nobody needs it");
        assert_eq!(asked(&all.look(Timestamp(1_000), true)), Some(0), "it may be another by now");
        assert!(!all.answered(Some(&master("h", "1")), Timestamp(1_001)), "it is not");
        all.need(Timestamp(1_100));
        assert_eq!(all.found(), None, "what was known is not believed");
        assert_eq!(asked(&all.look(Timestamp(1_100), false)), Some(0));
        assert!(all.answered(Some(&master("h", "2")), Timestamp(1_101)));
        assert_eq!(all.found(), Some(("h".into(), 2)));
        let wrong = master("h", "x")[0].clone();
        for reply in [Value::Int(1), Value::Array(vec![]), wrong, Value::Error("ERR".into())] {
            all.need(Timestamp(2_000));
            let reply = [reply];
            assert!(!all.answered(Some(&reply), Timestamp(2_000)) && all.found().is_none(), "{reply:?}");
        }
    }
    #[test]
    fn who_has_not_heard_of_the_failover_is_not_believed() {
        let mut all = sentinels();
        let mut at = 0;
        let mut tells = |all: &mut Sentinels, replies: &[Value]| {
            at += 1_000;
            assert!(asked(&all.look(Timestamp(at), true)).is_some());
            all.answered(Some(replies), Timestamp(at))
        };
        all.need(Timestamp(0));
        assert!(!tells(&mut all, &named("old", "3")));
        assert!(tells(&mut all, &named("new", "4")));
        assert!(!tells(&mut all, &named("old", "3")), "it has not heard yet");
        assert_eq!(all.found(), Some(("new".into(), 1)));
        assert!(!tells(&mut all, &named("new", "4")), "the other one");
        assert!(tells(&mut all, &named("third", "5")));
        // All of them name an older one: they began anew, and the next time they are believed.
        assert!(!tells(&mut all, &named("again", "1")));
        assert!(!tells(&mut all, &named("again", "1")));
        assert!(tells(&mut all, &named("again", "1")));
        assert_eq!(all.found(), Some(("again".into(), 1)));
    }
}
