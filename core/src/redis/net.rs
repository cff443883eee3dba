//! The connections of one storage, by their numbers: which there are, what each is for.
//!
//! The main one carries everything that is answered at once, pipelined; in a Cluster there is one for each master. A call
//! that may block gets one to itself out of a bounded pool. One hears hints. Whoever owns the sockets drives them all:
//! [`Net::tick`] says what to dial and what to destroy, the rest is as with [`Mux`], with a number in front.

mod gate;
mod line;
mod master;
mod nodes;
mod pool;
mod whole;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gate::Gate;
use line::{Line, Lines};
use master::Master;
use nodes::Nodes;
use pool::{Lane, Pool};

use super::cluster::{Place, asked_for, key_of, slot_of};
use super::ear::{Ear, Hints};
use super::history::Histories;
use super::link::{Asked, Call, Link, Replies};
use super::mux::{Access, Look, Mux, Output, Want};
use super::url::{Target, Topology};
use crate::clock::{Clock, Timestamp};
use crate::error::{Effect, Error};
use crate::id::Ids;
use crate::timer::{Timers, unless};

/// The number of the main connection.
pub const MAIN: u32 = 0;
const EAR: u32 = 1;
const FIRST_LINE: u32 = 2;

/// Connections for calls that block, at the most.
const BLOCKING: usize = 16;

/// What the owner of the sockets is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Dial, and say how it went by this number.
    Dial { number: u32, access: Access },
    /// Destroy the socket of this number.
    Drop { number: u32 },
}

/// How the servers hang together.
enum Kind {
    Single,
    Sentinel(Master),
    Cluster(Box<Nodes>),
}

/// What the dials of all connections share.
#[derive(Default)]
struct Dials {
    gate: Gate,
    /// Connections that want to dial the master, whose place is being asked for.
    pending: BTreeSet<u32>,
    /// Where the master was found.
    master: Option<Place>,
}

/// All connections to what one URL names.
pub struct Net {
    kind: Kind,
    main: Arc<Mux>,
    ear: Arc<Ear>,
    lines: Arc<Lines>,
    pool: Arc<Pool>,
    dials: Mutex<Dials>,
    epochs: Mutex<Epochs>,
    access: Access,
    timers: Arc<Timers>,
}

/// What servers said of their histories.
#[derive(Default)]
struct Epochs {
    histories: Histories,
    untold: Vec<&'static str>,
}

/// Untold changes at the most; then the oldest go.
const UNTOLD: usize = 100;

impl Net {
    /// `timers` end what waits for a turn: whoever drives this calls their `tick`, too.
    #[must_use]
    pub fn new(target: Target, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, timers: Arc<Timers>) -> Self {
        let Target { mut access, topology } = target;
        let kind = match topology {
            Topology::Single => Kind::Single,
            Topology::Sentinel { sentinels, service } => {
                access = access.of_master(&service);
                Kind::Sentinel(Master::new(sentinels, service))
            }
            Topology::Cluster { seeds } => Kind::Cluster(Box::new(Nodes::new(access.clone(), seeds))),
        };
        let lines = Arc::new(Lines::new(FIRST_LINE, clock, ids));
        let (main, ear) = (lines.mux(access.clone()), lines.ear(access.clone(), false));
        let (pool, dials, epochs) = (Pool::new(BLOCKING), Mutex::default(), Mutex::default());
        Self { kind, main, ear, lines, pool, dials, epochs, access, timers }
    }

    fn dials(&self) -> MutexGuard<'_, Dials> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, number: u32) -> Option<Line> {
        match number {
            MAIN => Some(Line::Calls(Arc::clone(&self.main))),
            EAR => Some(Line::Hints(Arc::clone(&self.ear))),
            _ => self.lines.get(number),
        }
    }

    /// The bytes to send now by this connection, as [`Mux::output`] gives them.
    pub fn output(&self, number: u32, room: &mut [u8]) -> Output {
        match number {
            MAIN => self.main.output(room),
            _ => self.line(number).map_or(Output::Written(0), |line| line.output(room)),
        }
    }

    /// Bytes came by this connection. How many calls were under way on it, as [`Mux::feed`] says.
    pub fn feed(&self, number: u32, bytes: &[u8]) -> usize {
        match number {
            MAIN => self.main.feed(bytes),
            _ => self.line(number).map_or(0, |line| line.feed(bytes)),
        }
    }

    /// This connection is there.
    pub fn connected(&self, number: u32) {
        self.line(number).into_iter().for_each(|line| line.connected());
    }

    /// This connection is gone, or could not be made.
    pub fn disconnected(&self, number: u32, reason: &str) {
        let Some(line) = self.line(number) else { return };
        self.note(&line);
        self.dials().pending.remove(&number);
        line.disconnected(reason);
        if let Kind::Cluster(nodes) = &self.kind {
            nodes.lost(number);
        }
    }

    /// Looks at the time: what the owner of the sockets is to do now.
    pub fn tick(&self) -> Vec<Errand> {
        let mut errands = Vec::new();
        for lane in self.pool.doomed() {
            self.lines.remove(lane.number);
            errands.push(Errand::Drop { number: lane.number });
        }
        match &self.kind {
            Kind::Single => {}
            Kind::Sentinel(master) => self.follow(master, &mut errands),
            Kind::Cluster(nodes) => {
                errands.extend(nodes.tick(&self.lines).into_iter().map(|number| Errand::Drop { number }));
            }
        }
        let own = [MAIN, EAR].into_iter().filter_map(|number| Some((number, self.line(number)?)));
        for (number, line) in own.chain(self.lines.all()) {
            self.hear(&line);
            match line.tick() {
                Want::Nothing => {}
                Want::Connect => errands.extend(self.dial(number, &line)),
                Want::Drop => {
                    self.note(&line);
                    errands.push(Errand::Drop { number });
                }
            }
        }
        errands
    }

    /// A server may have said that its history is another one.
    fn hear(&self, line: &Line) {
        let Line::Calls(mux) = line else { return };
        let Some(history) = mux.history() else { return };
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let Epochs { histories, untold } = &mut *epochs;
        untold.extend(histories.note(&mux.access().name(), history));
        let spare = untold.len().saturating_sub(UNTOLD);
        untold.drain(..spare);
    }

    /// Why the latest acknowledged writes may be missing, for each server of which that is so since the last time.
    #[must_use]
    pub fn epochs(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.epochs.lock().unwrap_or_else(PoisonError::into_inner).untold)
    }

    /// Remembers for everybody whether the server lets us in.
    fn note(&self, line: &Line) {
        let Line::Calls(mux) = line else { return };
        if let Some(error) = mux.refused() {
            self.dials().gate.refused(error, self.lines.clock.now());
        }
    }

    fn dial(&self, number: u32, line: &Line) -> Option<Errand> {
        let now = self.lines.clock.now();
        let mut dials = self.dials();
        let access = line.access();
        if access.is_sentinel() {
            return Some(Errand::Dial { number, access: access.clone() });
        }
        if self.lines.all().iter().any(|(_, line)| line.is_up()) || self.main.is_up() {
            dials.gate.passed();
        }
        if !dials.gate.may_dial(now) {
            drop(dials);
            line.disconnected("the credentials were refused a moment ago");
            return None;
        }
        let Kind::Sentinel(master) = &self.kind else {
            return Some(Errand::Dial { number, access: access.clone() });
        };
        if let (Some((host, port)), true) = (&dials.master, self.main.is_up()) {
            return Some(Errand::Dial { number, access: access.at(host, *port) });
        }
        dials.pending.insert(number);
        master.need(now);
        None
    }

    /// Goes where the sentinels say that the master is.
    fn follow(&self, master: &Master, errands: &mut Vec<Errand>) {
        let news = master.tick(&self.lines, self.main.is_up());
        if let Some(number) = news.gone {
            self.lines.remove(number);
            errands.push(Errand::Drop { number });
        }
        if news.other {
            self.leave();
        }
        let Some((host, port)) = news.found else { return };
        let mut dials = self.dials();
        dials.master = Some((host.clone(), port));
        for number in std::mem::take(&mut dials.pending) {
            errands.push(Errand::Dial { number, access: self.access.at(&host, port) });
        }
    }

    /// What leads to a server that is no master any more is of no use.
    fn leave(&self) {
        self.pool.empty();
        self.main.hang_up();
        self.ear.hang_up();
        for (_, line) in self.lines.all() {
            if !line.access().is_sentinel() {
                line.hang_up();
            }
        }
    }

    /// Nothing is sent any more; calls that wait fail with `STORAGE_CLOSED`.
    pub fn close(&self) {
        self.main.close();
        self.ear.close();
        self.lines.all().iter().for_each(|(_, line)| line.close());
    }

    /// How many servers have greeted back, by all connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        let lines = self.lines.all().iter().filter(|(_, line)| line.is_up()).count();
        usize::from(self.main.is_up()) + usize::from(self.ear.is_up()) + lines
    }

    /// Connections for calls that wait: how many carry one, are free, may be at the most.
    #[must_use]
    pub fn pool(&self) -> [usize; 3] {
        self.pool.counts()
    }

    /// What went wrong last with the connections that carry calls, until they are there again; without secrets.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let of = |line: &Line| match line {
            Line::Calls(mux) if !mux.access().is_sentinel() => mux.last_error(),
            _ => None,
        };
        self.main.last_error().or_else(|| self.lines.all().iter().find_map(|(_, line)| of(line)))
    }

    /// Where a call goes.
    fn place(&self, call: &Call<'_>) -> Place {
        match &self.kind {
            Kind::Cluster(nodes) => {
                let asked = call.asked.and_then(|asked| asked.rsplit_once(':'));
                let asked = asked.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
                asked.unwrap_or_else(|| nodes.owner(key_of(&call.requests.bytes).map_or(0, slot_of)))
            }
            _ => Place::default(),
        }
    }

    fn block(&self, call: Call<'_>) -> Replies {
        let now = self.lines.clock.now();
        if let Some(error) = self.dials().gate.closed(now) {
            return Replies::now(Err(error.clone()));
        }
        let place = self.place(&call);
        let access = if place.0.is_empty() { self.access.clone() } else { self.access.at(&place.0, place.1) };
        let Call { requests, writes, deadline, blocking, asked } = call;
        let requests = if asked.is_some() { asked_for(requests) } else { requests.clone() };
        let (lines, pool) = (Arc::clone(&self.lines), Arc::clone(&self.pool));
        let end = self.timers.sleep_until(deadline);
        Replies::later(async move {
            let open = || {
                let (number, mux) = lines.add_mux(access.clone());
                Arc::new(Lane { number, place: place.clone(), mux })
            };
            let turn = unless(end, pool.take(&place, open)).await;
            let mut held = turn.ok_or_else(|| Error::timeout(Effect::NotApplied))?;
            let call = Call { requests: &requests, writes, deadline, blocking, asked: None };
            let replies = held.lane.mux.call(call).await?;
            held.is_whole();
            Ok(replies)
        })
    }
}

impl Link for Net {
    fn call(&self, call: Call<'_>) -> Replies {
        if call.blocking {
            return self.block(call);
        }
        let Kind::Cluster(nodes) = &self.kind else { return self.main.call(call) };
        if let Some(replies) = whole::ask(nodes, &self.lines, call) {
            return replies;
        }
        let mux = nodes.mux(&self.lines, &self.place(&call));
        if call.asked.is_none() {
            return mux.call(call);
        }
        mux.call(Call { requests: &asked_for(call.requests), ..call })
    }

    fn glance(&self, asked: &Asked<'_>) -> bool {
        !matches!(self.kind, Kind::Cluster(_)) && self.main.glance(asked)
    }

    fn look(&self, ticket: u32, see: &mut dyn FnMut(Look<'_>)) {
        self.main.look(ticket, see);
    }

    fn now(&self) -> Timestamp {
        self.lines.clock.now()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.timers.sleep_until(at))
    }

    fn heed(&self, refusal: &str) {
        match &self.kind {
            Kind::Single => {}
            // It was the master, and is none any more.
            Kind::Sentinel(_) if refusal.starts_with("READONLY") || refusal.contains("-READONLY") => {
                self.leave()
            }
            Kind::Sentinel(_) => {}
            Kind::Cluster(nodes) => nodes.heed(refusal),
        }
    }

    fn listen(&self, hints: &Hints) {
        match &self.kind {
            Kind::Cluster(nodes) => nodes.listen(&self.lines, hints),
            _ => self.ear.listen(hints),
        }
    }

    fn hears(&self) -> bool {
        match &self.kind {
            Kind::Cluster(nodes) => nodes.hears(),
            _ => self.ear.is_up(),
        }
    }

    fn is_sharded(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }
}
