//! The connection without I/O, against a scripted server and a clock that stands still.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/hand.rs"]
mod hand;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use flowkeep_core::clock::Clock;
use flowkeep_core::error::{Code, Effect, Error};
use flowkeep_core::id::RandomIds;
use flowkeep_core::redis::{
    Access, Asked, Call, Look, Mux, Output, Pair, Replies, Requests, Value, Values, Want,
};
use flowkeep_core::run::poll_now;

use hand::Hand;

/// What a server says to a greeting: of its history, to the name, and of each script.
const WELCOME: &[u8] = b"$0\r\n\r\n+OK\r\n$3\r\nsha\r\n$3\r\nsha\r\n";

struct Scene {
    mux: Mux,
    clock: Arc<Hand>,
}

impl Scene {
    /// What is to be sent, whether or not there is room for it.
    fn output(&self) -> Vec<u8> {
        let mut room = [0; 16];
        match self.mux.output(&mut room) {
            Output::Written(len) => room[..len].to_vec(),
            Output::Whole(bytes) => bytes,
        }
    }

    fn new(url: &str) -> Self {
        let clock = Arc::new(Hand::default());
        let mux = Mux::new(
            Access::parse(url).unwrap(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(RandomIds::default()),
        );
        Self { mux, clock }
    }

    /// Connected, and greeted by a server that lets everybody in.
    fn up() -> Self {
        let scene = Self::new("redis://h");
        let first = scene.ping(false);
        assert_eq!(scene.mux.tick(), Want::Connect);
        scene.mux.connected();
        assert!(!scene.output().is_empty());
        scene.mux.feed(WELCOME);
        assert!(scene.mux.is_up());
        scene.output();
        scene.mux.feed(b"+PONG\r\n");
        assert!(answer(first).unwrap().is_ok());
        scene
    }

    fn ping(&self, writes: bool) -> Replies {
        let mut requests = Requests::default();
        requests.request(&[b"PING"]);
        self.mux.call(Call {
            requests: &requests,
            writes,
            deadline: self.clock.now().plus_ms(1_000),
            blocking: false,
            asked: None,
        })
    }

    /// Whether it could be asked; and how often it was woken since.
    fn glance(&self, ticket: u32) -> (bool, Arc<Woken>) {
        let mut requests = Requests::default();
        requests.request(&[b"HMGET", b"k", b"x", b"s"]);
        let (woken, deadline) = (Arc::<Woken>::default(), self.clock.now().plus_ms(1_000));
        let waker = Waker::from(Arc::clone(&woken));
        let asked = Asked { requests: &requests, deadline, ticket, waker: &waker };
        (self.mux.glance(&asked), woken)
    }

    /// What a glance came to: nothing yet, nothing at all, or two texts.
    fn look(&self, ticket: u32) -> Option<Option<[Option<String>; 2]>> {
        let mut seen = None;
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        self.mux.look(ticket, &mut |look| {
            seen = match look {
                Look::Waits => None,
                Look::Missed => Some(None),
                Look::Pair(Pair(first, second)) => Some(Some([text(first), text(second)])),
            };
        });
        seen
    }

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn answer(replies: Replies) -> Option<Result<Values, Error>> {
    poll_now(pin!(replies))
}

fn failure(replies: Replies) -> (Code, Effect) {
    let error = answer(replies).unwrap().unwrap_err();
    (error.code, error.effect)
}

#[test]
fn calls_of_a_tick_leave_as_one_write_and_come_back_in_order() {
    let scene = Scene::up();
    let calls: Vec<_> = (0..3).map(|_| scene.ping(false)).collect();
    let bytes = scene.output();
    assert_eq!(bytes, b"*1\r\n$4\r\nPING\r\n".repeat(3));
    assert!(scene.output().is_empty());
    for byte in b"+A\r\n+B\r\n+C\r\n" {
        scene.mux.feed(&[*byte]);
    }
    let texts: Vec<_> = calls.into_iter().map(|call| answer(call).unwrap().unwrap()).collect();
    assert_eq!(texts, ["A", "B", "C"].map(|text| Values::from_iter([Value::Status(text.into())])));
}

#[test]
fn a_lost_connection_tells_what_is_known() {
    let scene = Scene::up();
    let (read, write) = (scene.ping(false), scene.ping(true));
    scene.output();
    let waiting = scene.ping(true);
    scene.mux.disconnected("ECONNRESET");
    assert_eq!(failure(read), (Code::Unavailable, Effect::NotApplied));
    assert_eq!(failure(write), (Code::Unavailable, Effect::Unknown));
    assert_eq!(scene.mux.tick(), Want::Connect, "a call that was not sent waits for the next connection");
    scene.mux.connected();
    scene.output();
    scene.mux.feed(WELCOME);
    scene.output();
    scene.mux.feed(b"+PONG\r\n");
    assert!(answer(waiting).unwrap().is_ok());
}

#[test]
fn a_deadline_settles_every_call() {
    let scene = Scene::up();
    let sent = [scene.ping(true), scene.ping(false)];
    scene.output();
    let unsent = scene.ping(true);
    scene.pass(1_001);
    scene.mux.tick();
    assert_eq!(sent.map(failure), [(Code::Timeout, Effect::Unknown), (Code::Timeout, Effect::NotApplied)]);
    assert_eq!(failure(unsent), (Code::Timeout, Effect::NotApplied));
    // Late replies reach nobody, and the next call gets its own.
    let next = scene.ping(false);
    assert_eq!(scene.output(), b"*1\r\n$4\r\nPING\r\n");
    scene.mux.feed(b"+LATE\r\n+LATE\r\n+OWN\r\n");
    assert_eq!(answer(next).unwrap().unwrap().as_slice(), [Value::Status("OWN".into())]);
}

#[test]
fn silence_means_a_dead_connection() {
    let scene = Scene::up();
    for round in 0..3 {
        let call = scene.ping(false);
        scene.output();
        scene.pass(1_001);
        assert_eq!(scene.mux.tick(), if round == 2 { Want::Drop } else { Want::Nothing }, "round {round}");
        assert_eq!(failure(call).0, Code::Timeout);
    }
    scene.mux.disconnected("silence");
    drop(scene.ping(false));
    let call = scene.ping(false);
    assert_eq!(scene.mux.tick(), Want::Connect);
    scene.pass(2_000);
    assert_eq!(scene.mux.tick(), Want::Drop, "a dial that leads nowhere is given up");
    assert_eq!(failure(call), (Code::Unavailable, Effect::NotApplied));
}

#[test]
fn calls_that_are_given_up_do_not_speak_against_the_server() {
    let scene = Scene::up();
    for _ in 0..10 {
        let call = scene.ping(true);
        scene.output();
        drop(call);
        assert_eq!(scene.mux.tick(), Want::Nothing);
    }
    let kept = scene.ping(false);
    scene.output();
    scene.mux.feed(&b"+LATE\r\n".repeat(10));
    scene.mux.feed(b"+OWN\r\n");
    assert_eq!(answer(kept).unwrap().unwrap().as_slice(), [Value::Status("OWN".into())]);
}

#[test]
fn wrong_credentials_are_told_once_and_asked_seldom() {
    let scene = Scene::new("redis://me:secret@h");
    let call = scene.ping(false);
    assert_eq!(scene.mux.tick(), Want::Connect);
    scene.mux.connected();
    assert!(String::from_utf8_lossy(&scene.output()).contains("secret"), "the server is told");
    scene.mux.feed(b"-WRONGPASS invalid username-password pair secret\r\n");
    let error = answer(call).unwrap().unwrap_err();
    assert_eq!((error.code, error.retryable), (Code::Config, false));
    assert!(!error.message.contains("secret"), "{}", error.message);
    assert_eq!(scene.mux.tick(), Want::Drop);
    scene.mux.disconnected("closed");
    let next = scene.ping(false);
    assert_eq!(scene.mux.tick(), Want::Nothing, "not at once");
    scene.pass(999);
    assert_eq!(scene.mux.tick(), Want::Nothing);
    scene.pass(1);
    scene.mux.tick();
    assert_eq!(failure(next), (Code::Config, Effect::NotApplied));
}

#[test]
fn a_server_that_is_still_loading_is_asked_again() {
    let scene = Scene::new("redis://h");
    let call = scene.ping(false);
    assert_eq!(scene.mux.tick(), Want::Connect);
    scene.mux.connected();
    scene.output();
    scene.mux.feed(b"-LOADING Redis is loading the dataset in memory\r\n");
    assert_eq!(scene.mux.tick(), Want::Drop);
    scene.mux.disconnected("closed");
    scene.pass(200);
    assert_eq!(scene.mux.tick(), Want::Connect);
    scene.mux.connected();
    scene.output();
    scene.mux.feed(WELCOME);
    scene.output();
    scene.mux.feed(b"+PONG\r\n");
    assert!(answer(call).unwrap().is_ok());
}

#[test]
fn what_is_no_answer_ends_the_connection() {
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"+NOBODY ASKED\r\n"] {
        let scene = Scene::up();
        scene.mux.feed(bytes);
        assert_eq!(scene.mux.tick(), Want::Drop);
    }
}

#[test]
fn what_nobody_waits_for_is_not_sent() {
    let scene = Scene::up();
    drop(scene.ping(true));
    let kept = scene.ping(false);
    assert_eq!(scene.output(), b"*1\r\n$4\r\nPING\r\n");
    scene.mux.feed(b"+PONG\r\n");
    assert!(answer(kept).unwrap().is_ok());
}

#[test]
fn closing_settles_everything() {
    let scene = Scene::up();
    let sent = scene.ping(true);
    scene.output();
    let unsent = scene.ping(true);
    scene.mux.close();
    assert_eq!(
        [sent, unsent].map(failure),
        [(Code::Closed, Effect::Unknown), (Code::Closed, Effect::NotApplied)]
    );
    assert_eq!(failure(scene.ping(true)), (Code::Closed, Effect::NotApplied));
    assert_eq!(scene.mux.tick(), Want::Drop);
    scene.mux.connected();
    assert!(scene.output().is_empty());
}

fn pair(first: &str, second: &str) -> Option<Option<[Option<String>; 2]>> {
    Some(Some([first, second].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))))
}

#[test]
fn glances_are_answered_among_calls_and_told_once() {
    let scene = Scene::up();
    let (first, (asked, woken), last) = (scene.ping(false), scene.glance(7), scene.ping(false));
    let (_, other) = scene.glance(8);
    assert!(asked);
    assert_eq!(scene.output().iter().filter(|byte| **byte == b'*').count(), 4, "one write");
    let replies = b"+A\r\n*2\r\n$2\r\n17\r\n$5\r\nte\r\nx\r\n+B\r\n*2\r\n$-1\r\n$0\r\n\r\n";
    for byte in &replies[..replies.len() - 1] {
        scene.mux.feed(&[*byte]);
    }
    assert_eq!((woken.times(), other.times(), scene.look(8)), (1, 0, None), "one is not whole");
    scene.mux.feed(b"\n");
    assert_eq!((woken.times(), other.times()), (1, 1));
    assert_eq!(scene.look(8), Some(Some([None, Some(String::new())])), "in any order");
    assert_eq!(scene.look(7), pair("17", "te\r\nx"));
    assert_eq!((scene.look(7), scene.look(8)), (None, None), "once");
    for (call, text) in [(first, "A"), (last, "B")] {
        assert_eq!(answer(call).unwrap().unwrap(), Values::from_iter([Value::Status(text.into())]));
    }
}

#[test]
fn what_is_no_pair_is_missed_and_disturbs_nobody() {
    let refusals: [&[u8]; 5] = [
        b"-LOADING not yet\r\n",
        b"$-1\r\n",
        b"*2\r\n:1\r\n$1\r\na\r\n",
        b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        b"*1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    ];
    for refusal in refusals {
        let scene = Scene::up();
        let ((_, woken), behind) = (scene.glance(1), scene.ping(false));
        scene.output();
        scene.mux.feed(refusal);
        assert_eq!((woken.times(), scene.look(1)), (1, Some(None)));
        scene.mux.feed(b"+PONG\r\n");
        assert!(answer(behind).unwrap().is_ok());
        assert_eq!(scene.mux.tick(), Want::Nothing);
    }
}

#[test]
fn a_glance_that_was_lost_or_is_late_is_missed() {
    let scene = Scene::up();
    let (_, lost) = scene.glance(1);
    scene.output();
    let (_, unsent) = scene.glance(2);
    scene.mux.disconnected("ECONNRESET");
    assert_eq!((lost.times(), scene.look(1)), (1, Some(None)));
    assert!(!scene.glance(3).0, "without a connection there are calls");
    // One that was not sent waits for the next connection, as a call does, until its deadline.
    assert_eq!((unsent.times(), scene.look(2)), (0, None));
    scene.pass(1_001);
    scene.mux.tick();
    assert_eq!((unsent.times(), scene.look(2)), (1, Some(None)));

    let scene = Scene::up();
    let (_, late) = scene.glance(1);
    scene.output();
    scene.pass(1_001);
    scene.mux.tick();
    scene.mux.tick();
    assert_eq!((late.times(), scene.look(1)), (1, Some(None)), "it is told once");
    // Its ticket is another one's by now; the late answer is for nobody.
    let (_, next) = scene.glance(1);
    scene.output();
    scene.mux.feed(b"*2\r\n$1\r\n1\r\n$3\r\nold\r\n");
    assert_eq!((next.times(), scene.look(1)), (0, None));
    scene.mux.feed(b"*2\r\n$1\r\n2\r\n$3\r\nnew\r\n");
    assert_eq!((late.times(), next.times(), scene.look(1)), (1, 1, pair("2", "new")));
}

#[test]
fn glances_end_with_the_connection_and_tell_of_silence() {
    let scene = Scene::up();
    let ((_, sent), (_, unsent)) = (scene.glance(1), scene.glance(2));
    scene.output();
    scene.mux.close();
    assert_eq!((sent.times(), scene.look(1)), (1, Some(None)));
    assert_eq!((unsent.times(), scene.look(2)), (1, Some(None)));
    assert!(!scene.glance(3).0);

    let scene = Scene::up();
    let mut silent = 0;
    while scene.mux.tick() == Want::Nothing {
        scene.glance(1);
        scene.output();
        scene.pass(700);
        silent += 1;
        assert!(silent < 5, "nobody was answered in time");
    }
    assert!(silent > 1);
}
