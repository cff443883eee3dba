//! Follows the master that sentinels name: one of them is asked whenever the master is to be dialled, and now and then
//! while it is there.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line::Lines;
use crate::clock::Timestamp;
use crate::redis::link::{Call, Replies};
use crate::redis::mux::{Access, Mux};
use crate::redis::sentinel::{Sentinels, Turn};
use crate::run::poll_now;

struct Asked {
    number: u32,
    which: usize,
    mux: Arc<Mux>,
    replies: Option<Replies>,
    until: Timestamp,
}

struct State {
    sentinels: Sentinels,
    asked: Option<Asked>,
}

/// Who the master is.
pub(super) struct Master {
    state: Mutex<State>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Where the master is, for who needed it.
    pub found: Option<(String, u16)>,
    /// It is another one than before: what leads to the old one is of no use.
    pub other: bool,
    /// A connection that is of no use any more.
    pub gone: Option<u32>,
}

impl Master {
    pub fn new(sentinels: Vec<Access>, service: String) -> Self {
        let sentinels = Sentinels::new(sentinels, service);
        Self { state: Mutex::new(State { sentinels, asked: None }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants to dial it.
    pub fn need(&self, now: Timestamp) {
        self.lock().sentinels.need(now);
    }

    /// Asks, and looks whether there is an answer. `up`: there is a connection to the master.
    pub fn tick(&self, lines: &Lines, up: bool) -> News {
        let now = lines.clock.now();
        let mut state = self.lock();
        let mut news = News::default();
        if let Some(reply) = state.asked.as_mut().and_then(|asked| answer(asked, now)) {
            let replies = reply.ok();
            news.other = state.sentinels.answered(replies.as_deref(), now);
            if replies.is_none() {
                news.gone = state.asked.take().map(|asked| asked.number);
            }
        }
        if let Turn::Ask { which, until } = state.sentinels.look(now, up) {
            news.gone = news.gone.or_else(|| ask(&mut state, lines, which, until));
        }
        news.found = state.sentinels.found();
        news
    }
}

/// The answer that came; an error when none came in time.
fn answer(asked: &mut Asked, now: Timestamp) -> Option<Result<crate::redis::resp::Values, ()>> {
    let replies = asked.replies.as_mut()?;
    let answer = match poll_now(pin!(replies)) {
        Some(answer) => answer.map_err(|_| ()),
        None if asked.until <= now => Err(()),
        None => return None,
    };
    asked.replies = None;
    Some(answer)
}

/// Asks one, by the connection that there is or by another one; gives back what is of no use any more.
fn ask(state: &mut State, lines: &Lines, which: usize, until: Timestamp) -> Option<u32> {
    let mut gone = None;
    if state.asked.as_ref().is_none_or(|asked| asked.which != which) {
        gone = state.asked.take().map(|asked| asked.number);
        let access = state.sentinels.place(which)?.clone().of_sentinel();
        let (number, mux) = lines.add_mux(access);
        state.asked = Some(Asked { number, which, mux, replies: None, until });
    }
    let requests = state.sentinels.question();
    if let Some(asked) = &mut state.asked {
        let call = Call { requests: &requests, writes: false, deadline: until, blocking: false, asked: None };
        asked.replies = Some(asked.mux.call(call));
        asked.until = until;
    }
    gone
}
