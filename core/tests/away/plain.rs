//! Writes on plain values whose answers are lost, or that are made while the server is away.

use std::pin::pin;

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

#[test]
fn what_can_not_be_kept_waits_for_the_server_while_its_answer_is_in_doubt() {
    let stage = Stage::new(Policy::default());
    pay(&stage);
    let increment = r#"{"key":"i"}"#;
    stage.server.be(Mood::Deaf(1));
    let mut first = pin!(start(&stage.storage, "kv.increment", "", increment));
    assert!(poll_now(first.as_mut()).is_none());
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
