//! A Cluster's masters: who owns a slot, a connection to each, and the map that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line::{Line, Lines};
use crate::clock::Timestamp;
use crate::key::{PARTITIONS, Partition};
use crate::redis::cluster::{Map, Place, Redirection, slot_of};
use crate::redis::ear::{Ear, Hints};
use crate::redis::link::{Call, Replies};
use crate::redis::mux::{Access, Mux};
use crate::redis::resp::Requests;
use crate::run::poll_now;

/// The shortest time between two questions for the map.
const PAUSE_MS: u64 = 100;
/// How long a node may take to give it.
const PATIENCE_MS: u64 = 500;

struct Node {
    number: u32,
    mux: Arc<Mux>,
    ear: Option<(u32, Arc<Ear>)>,
}

struct State {
    map: Option<Map>,
    nodes: BTreeMap<Place, Node>,
    hints: Option<Hints>,
    /// The map is no longer true, or there is none.
    stale: bool,
    /// A call was sent to the wrong node, and will come again.
    pressing: bool,
    /// Who is asked for it, what it says, and until when it may.
    asked: Option<(Place, Replies, Timestamp)>,
    next: Timestamp,
    turns: usize,
}

/// The nodes that are known.
pub(super) struct Nodes {
    state: Mutex<State>,
    seeds: Vec<Access>,
    access: Access,
}

fn place_of(access: &Access) -> Place {
    (access.host.clone(), access.port)
}

impl Nodes {
    pub fn new(access: Access, seeds: Vec<Access>) -> Self {
        let state = State {
            map: None,
            nodes: BTreeMap::new(),
            hints: None,
            stale: true,
            pressing: false,
            asked: None,
            next: Timestamp(0),
            turns: 0,
        };
        Self { state: Mutex::new(state), seeds, access }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node<'a>(&self, state: &'a mut State, lines: &Lines, place: &Place) -> &'a Node {
        state.nodes.entry(place.clone()).or_insert_with(|| {
            let (number, mux) = lines.add_mux(self.access.at(&place.0, place.1));
            Node { number, mux, ear: None }
        })
    }

    /// Where a slot's keys are, as far as is known: else some node, which says who knows.
    pub fn owner(&self, slot: u16) -> Place {
        let state = self.lock();
        let known =
            state.map.as_ref().and_then(|map| map.owner(slot).or_else(|| map.owners().first().copied()));
        known.cloned().unwrap_or_else(|| {
            let seed = self.seeds.get(state.turns % self.seeds.len().max(1));
            seed.map(place_of).unwrap_or_default()
        })
    }

    /// All masters, in an order of their own; none while they are not known.
    pub fn masters(&self) -> Vec<Place> {
        let state = self.lock();
        let mut places: Vec<Place> = match &state.map {
            Some(map) => map.owners().into_iter().cloned().collect(),
            None => Vec::new(),
        };
        places.sort();
        places
    }

    /// The connection to a place.
    pub fn mux(&self, lines: &Lines, place: &Place) -> Arc<Mux> {
        Arc::clone(&self.node(&mut self.lock(), lines, place).mux)
    }

    /// A node refused a call, since it is not, or not yet, the one to ask.
    pub fn heed(&self, refusal: &str) {
        let mut state = self.lock();
        if let Some(Redirection { once, slot, place }) = Redirection::read(refusal) {
            if once {
                return;
            }
            let here = state.map.as_ref().and_then(|map| map.owner(slot)).map(|(host, _)| host.clone());
            let host = if place.0.is_empty() { here.unwrap_or_default() } else { place.0 };
            if let Some(map) = &mut state.map {
                map.moved(slot, (host, place.1));
            }
        }
        (state.stale, state.pressing) = (true, true);
    }

    /// A connection to a node is gone: what was not sent goes another way, if there is one by then.
    pub fn lost(&self, number: u32) {
        let mut state = self.lock();
        let lost = state.nodes.values().find(|node| node.number == number).map(|node| Arc::clone(&node.mux));
        if let Some(mux) = lost {
            state.stale = true;
            drop(state);
            mux.surrender();
        }
    }

    /// From now on each master is listened to.
    pub fn listen(&self, lines: &Lines, hints: &Hints) {
        let mut state = self.lock();
        if state.hints.is_none() {
            state.hints = Some(hints.clone());
            self.assign(&mut state, lines);
        }
    }

    /// Whether every master is listened to.
    pub fn hears(&self) -> bool {
        let state = self.lock();
        let ears: Vec<_> = state.nodes.values().filter_map(|node| node.ear.as_ref()).collect();
        !ears.is_empty() && ears.iter().all(|(_, ear)| ear.is_up())
    }

    /// Asks for the map when it is needed, and takes it in. Gives back the connections that are of no use any more.
    pub fn tick(&self, lines: &Lines) -> Vec<u32> {
        let now = lines.clock.now();
        let mut state = self.lock();
        if let Some((place, mut replies, until)) = state.asked.take() {
            match poll_now(pin!(&mut replies)) {
                Some(answer) => self.take_in(&mut state, lines, &place, answer.ok()),
                None if until <= now => state.stale = true,
                None => state.asked = Some((place, replies, until)),
            }
        }
        // Who waits for a node that is not there hopes for another one.
        let waits = state.nodes.values().any(|node| node.mux.is_waited_for() && !node.mux.is_up());
        let wanted = state.stale || waits || state.nodes.values().any(deaf);
        let asks = state.pressing
            || state.hints.is_some()
            || state.nodes.values().any(|node| node.mux.is_waited_for());
        if wanted && asks && state.asked.is_none() && state.next <= now {
            self.ask(&mut state, lines, now);
        }
        retired(&mut state, lines)
    }

    fn ask(&self, state: &mut State, lines: &Lines, now: Timestamp) {
        state.turns = state.turns.wrapping_add(1);
        let up: Vec<Place> =
            state.nodes.iter().filter(|(_, node)| node.mux.is_up()).map(|(place, _)| place.clone()).collect();
        // Every now and then a seed, in case that those who are there are cut off from the rest.
        let places = if up.is_empty() || state.turns.is_multiple_of(4) {
            self.seeds.iter().map(place_of).collect()
        } else {
            up
        };
        let Some(place) = places.get(state.turns % places.len().max(1)) else { return };
        let mut requests = Requests::default();
        requests.request(&[b"CLUSTER", b"SLOTS"]);
        let until = now.plus_ms(PATIENCE_MS);
        let call = Call { requests: &requests, writes: false, deadline: until, blocking: false, asked: None };
        let replies = self.node(state, lines, place).mux.call(call);
        state.asked = Some((place.clone(), replies, until));
        state.next = now.plus_ms(PAUSE_MS);
        state.stale = false;
    }

    fn take_in(
        &self,
        state: &mut State,
        lines: &Lines,
        asked: &Place,
        answer: Option<crate::redis::resp::Values>,
    ) {
        let map = answer.and_then(|values| values.first().and_then(|value| Map::read(value, &asked.0)));
        let Some(map) = map else {
            state.stale = true;
            return;
        };
        (state.map, state.pressing) = (Some(map), false);
        self.assign(state, lines);
    }

    /// Every owner has a connection, and an ear for the partitions that it has.
    fn assign(&self, state: &mut State, lines: &Lines) {
        let Some(map) = state.map.clone() else { return };
        let mut parts: BTreeMap<&Place, BTreeSet<Partition>> = BTreeMap::new();
        for number in 0..PARTITIONS {
            if let Some(owner) = map.owner(slot_of(number.to_string().as_bytes())) {
                parts.entry(owner).or_default().insert(Partition::from_number(number));
            }
        }
        for place in map.owners() {
            self.node(state, lines, place);
            let Some(hints) = state.hints.clone() else { continue };
            let Some(node) = state.nodes.get_mut(place) else { continue };
            let (_, ear) = node.ear.get_or_insert_with(|| {
                let ear = lines.ear(self.access.at(&place.0, place.1), true);
                (lines.add(Line::Hints(Arc::clone(&ear))), ear)
            });
            ear.listen(&hints);
            ear.only(parts.remove(place).unwrap_or_default());
        }
    }
}

/// A subscription was refused, or taken away, since the slot is elsewhere.
fn deaf(node: &Node) -> bool {
    node.ear.as_ref().is_some_and(|(_, ear)| ear.is_elsewhere())
}

/// Nodes that own nothing any more: what waits there goes another way, and nothing is left of them.
fn retired(state: &mut State, lines: &Lines) -> Vec<u32> {
    let Some(map) = &state.map else { return Vec::new() };
    let owners = map.owners();
    let asked = state.asked.as_ref().map(|(place, ..)| place);
    let mut gone = Vec::new();
    let mut surrendered = Vec::new();
    state.nodes.retain(|place, node| {
        if owners.contains(&place) || Some(place) == asked {
            return true;
        }
        if let Some((number, _)) = node.ear.take() {
            gone.push(number);
        }
        surrendered.push(Arc::clone(&node.mux));
        let idle = !node.mux.is_waited_for();
        if idle {
            gone.push(node.number);
        }
        !idle
    });
    // Only what can't be sent: an ASK leads to nodes that own nothing yet.
    surrendered.iter().filter(|mux| !mux.is_up()).for_each(|mux| mux.surrender());
    gone.iter().for_each(|number| lines.remove(*number));
    gone
}
