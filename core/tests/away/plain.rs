//! Writes on plain values whose answers are lost, or that are made while the server is away.

use std::pin::Pin;
use std::sync::Arc;

use flowkeep_core::error::{Code, Effect};
use flowkeep_core::layers::resilient::Policy;
use flowkeep_core::run::poll_now;
use serde_json::{Value, json};

use crate::stage::{Mood, Stage, start};

fn push(stage: &Stage, n: u32) -> flowkeep_core::error::Result<Value> {
    stage.call("queue.push", "\"q\"", &format!("{{\"n\":{n}}}"))
}

/// Calls that go well pay for the repeats of those that don't.
fn pay(stage: &Stage) {
    (0..10).for_each(|_| drop(stage.call("getSession", "ses_00000000000000000000", "").unwrap()));
    stage.beat();
}

#[test]
fn a_plain_write_is_repeated_and_has_one_effect() {
    let stage = Stage::new(Policy::default());
    let deaf = |name: &str, of: &str, data: &str| {
        pay(&stage);
        stage.server.be(Mood::Deaf(1));
        stage.call(name, of, data)
    };
    for n in 1..4 {
        assert_eq!(deaf("queue.push", "\"q\"", "1").unwrap(), json!([n]));
        assert_eq!(deaf("kv.increment", "", r#"{"key":"i"}"#).unwrap(), json!(n));
    }
    assert_eq!(deaf("kv.setIfNotExists", "", r#"{"key":"n","value":"t1"}"#).unwrap(), json!(true));
    assert_eq!(deaf("kv.set", "", r#"{"key":"s","value":"t1"}"#).unwrap(), Value::Null);
    // Done, and nobody can say any more what was new.
    let error = deaf("kv.sadd", "", r#"{"key":"set","values":["t1"]}"#).unwrap_err();
    assert_eq!((error.code, error.effect), (Code::Unavailable, Effect::Unknown));
    assert_eq!(stage.call("kv.scard", "", r#"{"key":"set"}"#).unwrap(), json!(1));
    assert_eq!(stage.call("queue.length", "\"q\"", "").unwrap()["waiting"], json!(3));
}

/// A write that was done and whose answer was lost, before it is asked for again.
fn in_doubt(name: &'static str, of: &'static str, data: &'static str) -> (Stage, Waiting) {
    loop {
        let stage = Stage::new(Policy::default());
        pay(&stage);
        stage.server.be(Mood::Deaf(1));
        let mut call: Waiting = Box::pin(start(&stage.storage, name, of, data));
        // A push lets others come first. The pause before it is asked for again may be none at all: then nothing is in doubt
        // any more.
        if poll_now(call.as_mut()).is_none() && poll_now(call.as_mut()).is_none() {
            return (stage, call);
        }
    }
}

type Waiting = Pin<Box<dyn Future<Output = flowkeep_core::error::Result<String>>>>;

#[test]
fn what_can_not_be_kept_waits_for_the_server_while_its_answer_is_in_doubt() {
    let increment = r#"{"key":"i"}"#;
    let (stage, mut first) = in_doubt("kv.increment", "", increment);
    stage.lose();
    let error = stage.call("kv.increment", "", increment).unwrap_err();
    assert_eq!(
        (error.code, error.effect),
        (Code::Unavailable, Effect::NotApplied),
        "a new one is told at once"
    );
    assert!(poll_now(first.as_mut()).is_none());
    stage.server.be(Mood::Well);
    let mut answer = None;
    for _ in 0..200 {
        stage.beat();
        answer = answer.or_else(|| poll_now(first.as_mut()));
        if answer.is_some() {
            break;
        }
    }
    assert_eq!(answer.unwrap().unwrap(), "1");
    assert_eq!(stage.call("kv.get", "", increment).unwrap(), json!("1"));
    assert!(push(&stage, 1).is_ok());
}

const LOGGED: &str = r#"{"ip":"1.2.3.4","host":"h","method":"GET","path":"/x","status":200,"durationMs":5}"#;

fn items(stage: &Stage) -> Vec<u64> {
    let take = || stage.call("queue.take", "\"q\"", "").unwrap()["data"]["n"].as_u64();
    let waiting = stage.call("queue.length", "\"q\"", "").unwrap()["waiting"].as_u64().unwrap();
    (0..waiting).map_while(|_| take()).collect()
}

/// Makes writes of every kind that can wait.
fn write(stage: &Stage, numbers: std::ops::Range<u32>) {
    for n in numbers {
        push(stage, n).unwrap();
        let entry = format!(r#"{{"stream":"s","fields":["n"],"values":["t{n}"]}}"#);
        assert!(stage.call("streams.add", "", &entry).unwrap().is_string());
        assert_eq!(stage.call("requestLog.record", "", LOGGED).unwrap()["pending"], json!(true));
    }
}

/// All of it is there once, and in order.
fn is_there(stage: &Stage, count: u32) {
    let numbers: Vec<u64> = (0..count).map(u64::from).collect();
    assert_eq!(items(stage), numbers);
    let read = stage.call("streams.read", "", r#"{"stream":"s","options":{"limit":1000}}"#).unwrap();
    let entries = read.as_array().unwrap();
    let added: Vec<u64> =
        entries.iter().map(|entry| entry["fields"]["n"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(added, numbers);
    let hours = stage.call("requestLog.hourly", "", "{}").unwrap();
    let requests = hours.as_array().unwrap().iter().map(|hour| hour["requests"].as_u64().unwrap());
    assert_eq!(requests.sum::<u64>(), u64::from(count));
}

#[test]
fn pushes_and_additions_are_kept_and_brought_once_and_in_order() {
    for mood in [Mood::Well, Mood::Deaf(25), Mood::Fickle(0)] {
        let stage = Stage::new(Policy::default());
        stage.lose();
        assert_eq!(push(&stage, 0).unwrap(), json!([1]), "the number of those that are kept here");
        let error = stage.call("queue.length", "\"q\"", "").unwrap_err();
        assert_eq!((error.code, error.effect), (Code::Unavailable, Effect::NotApplied));
        write_rest(&stage, 50);
        stage.server.be(mood);
        stage.until("healthy again", |standings| standings.standing.as_str() == "healthy");
        stage.server.be(Mood::Well);
        is_there(&stage, 50);
        assert_eq!((stage.standings().conflicts, stage.standings().journal_entries), (0, 0), "{mood:?}");
    }
}

/// The first push is made already.
fn write_rest(stage: &Stage, count: u32) {
    let entry = r#"{"stream":"s","fields":["n"],"values":["t0"]}"#;
    stage.call("streams.add", "", entry).unwrap();
    stage.call("requestLog.record", "", LOGGED).unwrap();
    write(stage, 1..count);
}

#[test]
fn a_push_while_others_are_brought_comes_behind_them() {
    let stage = Stage::new(Policy::default());
    stage.lose();
    (0..20).for_each(|n| drop(push(&stage, n).unwrap()));
    stage.server.be(Mood::Well);
    stage.until("recovering", |standings| standings.standing.as_str() == "recovering");
    (20..25).for_each(|n| drop(push(&stage, n).unwrap()));
    stage.recover();
    (25..30).for_each(|n| drop(push(&stage, n).unwrap()));
    assert_eq!(items(&stage), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_push_to_a_queue_that_was_closed_meanwhile_is_a_conflict() {
    let stage = Stage::new(Policy::default());
    let other = Arc::new(Stage::another(&stage.server, Policy::default()));
    push(&stage, 0).unwrap();
    stage.lose();
    push(&stage, 1).unwrap();
    stage.server.be(Mood::Well);
    assert_eq!(stage.call_on(&other, "queue.close", "\"q\"", "").0.unwrap(), json!(true));
    stage.recover();
    let conflicts = stage.call("conflicts", "", "").unwrap();
    assert_eq!(
        (&conflicts[0]["why"], &conflicts[0]["tree"], &conflicts[0]["change"]),
        (&json!("refused"), &json!("q"), &json!({ "values": ["{\"n\":1}"] }))
    );
    assert_eq!((items(&stage), stage.standings().conflicts), (vec![0], 1));
}

#[test]
fn what_may_have_been_done_too_long_ago_is_a_conflict_and_not_done_again() {
    for (away_ms, stored, conflicts) in [(10_000, 1, 0), (100_000, 1, 1)] {
        let (stage, mut first) = in_doubt("queue.push", "\"q\"", r#"{"n":0}"#);
        stage.lose();
        let from = stage.now();
        let mut answer = None;
        while answer.is_none() || stage.now() < from + away_ms {
            stage.beat();
            answer = answer.or_else(|| poll_now(first.as_mut()));
        }
        assert!(answer.unwrap().is_ok(), "it is kept");
        stage.recover();
        assert_eq!((items(&stage).len(), stage.standings().conflicts), (stored, conflicts), "{away_ms}");
        if conflicts == 1 {
            assert_eq!(stage.call("conflicts", "", "").unwrap()[0]["why"], json!("unknown"));
        }
    }
}
