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
use std::sync::atomic::Ordering;

use flowkeep_core::clock::Clock;
use flowkeep_core::error::{Code, Effect, Error};
use flowkeep_core::id::RandomIds;
use flowkeep_core::redis::{Access, Call, Mux, Output, Replies, Requests, Value, Values, Want};
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

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
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
