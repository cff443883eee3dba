//! What callers see of a backend that goes away and comes back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod journal;
#[path = "../support/paper.rs"]
mod paper;
mod plain;
mod stage;

use std::pin::pin;
use std::sync::Arc;

use flowkeep_core::error::{Code, Effect};
use flowkeep_core::layers::resilient::{Bounds, Conflicts, Policy};
use flowkeep_core::run::poll_now;
use serde_json::{Value, json};
use stage::{Mood, Stage, id, start};

fn types(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|event| id(event, "type")).collect()
}

fn log(stage: &Stage, session: &str) -> Vec<String> {
    types(&stage.call("events", "", &format!(r#"{{"sessionId":"{session}","limit":1000}}"#)).unwrap())
}

#[test]
fn a_lost_answer_is_asked_for_again_and_nothing_is_done_twice() {
    let stage = Stage::new(Policy::default());
    let deaf = |name: &str, of: &str, data: &str| {
        // Calls that go well pay for the repeats of those that don't.
        (0..10).for_each(|_| drop(stage.call("getSession", "ses_00000000000000000000", "").unwrap()));
        stage.beat();
        stage.server.be(Mood::Deaf(1));
        stage.call(name, of, data).unwrap()
    };
    let session = id(&deaf("createSession", "u", "{}"), "sessionId");
    let chain = id(&deaf("createChain", &session, r#"{"title":"c"}"#), "chainId");
    let step = deaf("createStep", &chain, r#"{"action":"a"}"#);
    assert_eq!(step["stepNumber"], json!(1));
    let done = deaf("updateStep", &id(&step, "stepId"), r#"{"status":"in_progress"}"#);
    assert_eq!(done.get("pending"), None, "it was repeated, not kept");
    let transition = stage.call("updateStep", &id(&step, "stepId"), r#"{"status":"pending"}"#).unwrap_err();
    assert_eq!(transition.code, Code::Transition);
    deaf("appendEvent", &session, r#"{"type":"custom:x"}"#);
    assert_eq!(
        log(&stage, &session)[..3],
        ["session:created", "chain:created", "step:created"].map(String::from)
    );
    assert_eq!(log(&stage, &session).iter().filter(|kind| *kind == "custom:x").count(), 1);
    assert_eq!(stage.call("listSessions", "u", "").unwrap().as_array().unwrap().len(), 1);
    assert_eq!(stage.standings().journal_entries, 0);
}

#[test]
fn what_was_seen_is_answered_as_stale_and_what_was_not_is_an_error() {
    let stage = Stage::new(Policy::default());
    let session = stage.call("createSession", "u", r#"{"title":"t"}"#).unwrap();
    let of = id(&session, "sessionId");
    let other = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    let stale = stage.call("getSession", &of, "").unwrap();
    assert_eq!((&stale["title"], &stale["stale"]), (&json!("t"), &json!(true)));
    assert!(stale["asOf"].as_u64().unwrap() <= 1_700_000_001_000);
    assert_eq!(stale["expiresAt"], session["expiresAt"]);
    assert_eq!(stage.call("getSession", &other, "").unwrap()["stale"], json!(true));
    for (name, of, data) in [
        ("getSession", "ses_00000000000000000000", ""),
        ("getChain", "chn_0000000000000000000000001", ""),
        ("listSessions", "u", ""),
        ("listSessions", "nobody", ""),
        ("listChains", of.as_str(), ""),
        ("deleteSession", of.as_str(), ""),
        ("events", "", r#"{"userId":"u"}"#),
    ] {
        let (answer, beats) = stage.call_on(&stage.storage, name, of, data);
        let error = answer.unwrap_err();
        assert_eq!((error.code, error.effect, beats), (Code::Unavailable, Effect::NotApplied, 0), "{name}");
        assert!(error.retryable && error.detail.unwrap().retry_after_ms.is_some(), "{name}");
    }
    stage.recover();
    assert_eq!(stage.call("getSession", &of, "").unwrap().get("stale"), None);
}

#[test]
fn writes_are_kept_answered_at_once_and_brought_in_order() {
    let stage = Stage::new(Policy::default());
    let known = id(&stage.call("createSession", "u", r#"{"title":"known"}"#).unwrap(), "sessionId");
    stage.lose();
    let now = |name: &str, of: &str, data: &str| {
        let (answer, beats) = stage.call_on(&stage.storage, name, of, data);
        let answer = answer.unwrap();
        assert_eq!((beats, &answer["pending"]), (0, &json!(true)), "{name}");
        answer
    };
    assert_eq!(now("updateSession", &known, r#"{"tags":["a"]}"#)["version"], json!(2));
    now("updateSession", &known, r#"{"title":"new"}"#);
    now("appendEvent", &known, r#"{"type":"custom:away"}"#);
    let fresh = id(&now("createSession", "u", r#"{"title":"fresh"}"#), "sessionId");
    let chain = id(&now("createChain", &fresh, r#"{"title":"c"}"#), "chainId");
    let steps: Vec<_> =
        (0..3).map(|_| id(&now("createStep", &chain, r#"{"action":"a"}"#), "stepId")).collect();
    now("updateStep", &steps[0], r#"{"status":"in_progress"}"#);
    // What was made here is read here.
    let read = stage.call("getChain", &chain, "").unwrap();
    assert_eq!((&read["status"], &read["pending"]), (&json!("in_progress"), &json!(true)));
    let listed = stage.call("listSteps", &chain, "").unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(listed.as_array().unwrap().iter().all(|step| step["pending"] == json!(true)));
    assert_eq!(stage.call("getSession", &known, "").unwrap()["title"], json!("new"));
    let error = stage.call("listSessions", "u", "").unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "others of the user are not known");
    let before = (log_len(&stage, &fresh), stage.standings().journal_entries);
    assert_eq!(before, (10, 9));
    stage.recover();
    assert_eq!(stage.standings().conflicts, 0);
    let after = stage.call("getChain", &chain, "").unwrap();
    assert_eq!((&after["status"], after.get("pending")), (&json!("in_progress"), None));
    assert_eq!(after["stepOrder"], json!(steps));
    assert_eq!(
        log(&stage, &known),
        ["session:created", "session:updated", "session:updated", "custom:away"].map(String::from)
    );
    assert_eq!(log_len(&stage, &fresh), 10);
    let session = stage.call("getSession", &known, "").unwrap();
    assert_eq!((&session["tags"], &session["title"]), (&json!(["a"]), &json!("new")));
    assert_eq!(stage.call("listSessions", "u", "").unwrap().as_array().unwrap().len(), 2);
}

fn log_len(stage: &Stage, session: &str) -> usize {
    log(stage, session).len()
}

#[test]
fn a_cached_value_is_deleted_for_later_and_other_plain_values_are_not_known() {
    let stage = Stage::new(Policy::default());
    let cache = |name: &str, key: &str| stage.call(name, &format!("{key:?}"), "");
    let set = |key: &str| stage.call("cache.set", &format!("{key:?}"), "1");
    set("a").unwrap();
    set("b").unwrap();
    stage.lose();
    assert_eq!(cache("cache.delete", "a").unwrap(), json!(true));
    assert_eq!(
        (cache("cache.get", "a").unwrap(), cache("cache.exists", "a").unwrap()),
        (Value::Null, json!(false))
    );
    for (name, key) in [("cache.get", "b"), ("cache.exists", "b"), ("queue.length", "q")] {
        let error = cache(name, key).unwrap_err();
        assert_eq!((error.code, error.effect), (Code::Unavailable, Effect::NotApplied), "{name}");
    }
    assert_eq!(set("b").unwrap_err().code, Code::Unavailable);
    // Back: what is set anew comes behind what was deleted.
    stage.server.be(Mood::Well);
    stage.until("recovering", |standings| standings.standing.as_str() == "recovering");
    set("a").unwrap();
    stage.recover();
    assert_eq!(
        (cache("cache.get", "a").unwrap(), cache("cache.get", "b").unwrap()),
        (json!([1]), json!([1]))
    );
    assert_eq!(stage.standings().conflicts, 0);
}

#[test]
fn answers_lost_while_it_is_brought_make_nothing_twice() {
    let stage = Stage::new(Policy::default());
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    for _ in 0..20 {
        stage.call("appendEvent", &session, r#"{"type":"custom:x"}"#).unwrap();
        stage.call("updateSession", &session, r#"{"metadata":{"n":1}}"#).unwrap();
    }
    let fresh = id(&stage.call("createSession", "v", "{}").unwrap(), "sessionId");
    stage.call("createChain", &fresh, r#"{"title":"t"}"#).unwrap();
    // The first answers of the recovery are lost, again and again.
    stage.server.be(Mood::Deaf(60));
    stage.until("healthy again", |standings| standings.standing.as_str() == "healthy");
    assert_eq!(stage.standings().conflicts, 0);
    let kinds = log(&stage, &session);
    assert_eq!(kinds.iter().filter(|kind| *kind == "custom:x").count(), 20);
    assert_eq!(kinds.iter().filter(|kind| *kind == "session:updated").count(), 1);
    assert_eq!(log(&stage, &fresh), ["session:created", "chain:created"].map(String::from));
}

#[test]
fn no_kept_write_overtakes_another_of_its_record() {
    let stage = Stage::new(Policy::default());
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    for n in 0..30 {
        let event = format!(r#"{{"type":"custom:x","data":{{"n":{n}}}}}"#);
        stage.call("appendEvent", &session, &event).unwrap();
    }
    stage.server.be(Mood::Fickle(0));
    stage.until("healthy again", |standings| standings.standing.as_str() == "healthy");
    let query = format!(r#"{{"sessionId":"{session}","types":["custom:x"],"limit":1000}}"#);
    let page = stage.call("events", "", &query).unwrap();
    let numbers: Vec<_> = page["items"].as_array().unwrap().iter().map(|event| &event["data"]["n"]).collect();
    assert_eq!(numbers, (0..30).map(|n| json!(n)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

/// Two storages change one session while this one is cut off; then it recovers.
fn conflict(policy: Conflicts) -> (Stage, String, Value) {
    let stage = Stage::new(Policy { conflicts: policy, ..Policy::default() });
    let other = Arc::new(Stage::another(&stage.server, Policy::default()));
    let session = id(&stage.call("createSession", "u", r#"{"title":"t"}"#).unwrap(), "sessionId");
    stage.lose();
    stage.call("updateSession", &session, r#"{"title":"ours"}"#).unwrap();
    stage.call("appendEvent", &session, r#"{"type":"custom:ours"}"#).unwrap();
    stage.server.be(Mood::Well);
    let theirs = stage.call_on(&other, "updateSession", &session, r#"{"title":"theirs","tags":["t"]}"#).0;
    assert_eq!(theirs.unwrap()["version"], json!(2));
    stage.recover();
    let conflicts = stage.call("conflicts", "", "").unwrap();
    (stage, session, conflicts)
}

#[test]
fn a_conflict_is_written_down_and_told_and_what_is_stored_stays() {
    for (policy, resolution) in [(Conflicts::RemoteWins, "remote"), (Conflicts::Manual, "open")] {
        let (stage, session, conflicts) = conflict(policy);
        let read = stage.call("getSession", &session, "").unwrap();
        assert_eq!((&read["title"], &read["version"]), (&json!("theirs"), &json!(2)));
        assert_eq!(conflicts.as_array().unwrap().len(), 1);
        assert_eq!(conflicts[0]["resolution"], json!(resolution));
        assert_eq!(conflicts[0]["change"]["data"]["title"], json!("ours"), "nothing is lost silently");
        assert_eq!(stage.standings().conflicts, 1);
        let news = stage.storage.stack().unwrap().news().unwrap();
        let news: Vec<Value> = serde_json::from_str(&news).unwrap();
        let kinds: Vec<_> = news.iter().map(|one| id(one, "type")).collect();
        assert_eq!(kinds, ["degraded", "recovering", "conflict", "healthy"]);
        assert_eq!(news[2]["change"]["data"]["title"], json!("ours"));
        assert_eq!(
            log(&stage, &session),
            ["session:created", "session:updated", "custom:ours"].map(String::from)
        );
    }
}

#[test]
fn local_wins_makes_the_change_anew_on_what_is_stored() {
    let (stage, session, conflicts) = conflict(Conflicts::LocalWins);
    let read = stage.call("getSession", &session, "").unwrap();
    assert_eq!((&read["title"], &read["version"]), (&json!("ours"), &json!(3)));
    assert_eq!(read["tags"], json!(["t"]), "only what the change set wins");
    assert_eq!(conflicts[0]["resolution"], json!("local"));
    assert_eq!(stage.standings().conflicts, 1);
}

#[test]
fn a_change_of_what_is_gone_is_a_conflict_and_brings_nothing_back() {
    let stage = Stage::new(Policy::default());
    let other = Arc::new(Stage::another(&stage.server, Policy::default()));
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    stage.call("updateSession", &session, r#"{"title":"late"}"#).unwrap();
    stage.call("createChain", &session, r#"{"title":"late"}"#).unwrap_err();
    stage.call("appendEvent", &session, r#"{"type":"custom:late"}"#).unwrap();
    stage.server.be(Mood::Well);
    stage.call_on(&other, "deleteSession", &session, "").0.unwrap();
    stage.recover();
    assert_eq!(stage.standings().conflicts, 2);
    assert_eq!(stage.call("getSession", &session, "").unwrap(), Value::Null);
    assert_eq!(stage.call("conflicts", "", "").unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn writes_to_a_record_queue_behind_what_is_kept_of_it() {
    let stage = Stage::new(Policy::default());
    let session = id(&stage.call("createSession", "u", r#"{"title":"0"}"#).unwrap(), "sessionId");
    let free = id(&stage.call("createSession", "v", "{}").unwrap(), "sessionId");
    stage.lose();
    stage.call("updateSession", &session, r#"{"title":"1"}"#).unwrap();
    // Back, but what is kept is answered by nobody yet.
    stage.server.be(Mood::Well);
    stage.until("recovering", |standings| standings.standing.as_str() == "recovering");
    let queued = stage.call("updateSession", &session, r#"{"title":"2"}"#).unwrap();
    assert_eq!((&queued["pending"], &queued["version"]), (&json!(true), &json!(3)));
    let live = stage.call("updateSession", &free, r#"{"title":"live"}"#).unwrap();
    assert_eq!(live.get("pending"), None);
    stage.recover();
    let read = stage.call("getSession", &session, "").unwrap();
    assert_eq!((&read["title"], &read["version"]), (&json!("2"), &json!(3)));
    assert_eq!(stage.standings().conflicts, 0);
}

#[test]
fn a_call_that_fails_after_a_later_one_was_kept_goes_in_front_of_it() {
    let stage = Stage::new(Policy::default());
    let session = id(&stage.call("createSession", "u", r#"{"title":"0"}"#).unwrap(), "sessionId");
    stage.server.be(Mood::Silent);
    let mut first = pin!(start(&stage.storage, "updateSession", &session, r#"{"title":"1"}"#));
    assert!(poll_now(first.as_mut()).is_none());
    let mut second = pin!(start(&stage.storage, "updateSession", &session, r#"{"tags":["2"]}"#));
    assert!(poll_now(second.as_mut()).is_none(), "it stands on the first, which is under way");
    stage.server.be(Mood::Away);
    let (mut one, mut two) = (None, None);
    for _ in 0..500 {
        stage.beat();
        two = two.or_else(|| poll_now(second.as_mut()));
        if two.is_some() {
            one = one.or_else(|| poll_now(first.as_mut()));
        }
        if one.is_some() {
            break;
        }
    }
    assert!(one.unwrap().is_ok() && two.unwrap().is_ok());
    stage.recover();
    let read = stage.call("getSession", &session, "").unwrap();
    assert_eq!((&read["title"], &read["tags"], stage.standings().conflicts), (&json!("1"), &json!(["2"]), 0));
}

#[test]
fn a_full_journal_says_so_and_keeps_what_it_has() {
    let bounds = Bounds { entries: 3, ..Policy::default().bounds };
    let stage = Stage::new(Policy { bounds, ..Policy::default() });
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    let append = || stage.call("appendEvent", &session, r#"{"type":"custom:x"}"#);
    (0..3).for_each(|_| drop(append().unwrap()));
    for _ in 0..2 {
        let error = append().unwrap_err();
        assert_eq!((error.code, error.detail.unwrap().limit), (Code::Capacity, Some(3)));
    }
    let news = stage.storage.stack().unwrap().news().unwrap();
    assert_eq!(news.matches("journalFull").count(), 1);
    stage.recover();
    assert_eq!(log(&stage, &session).len(), 4);
}

#[test]
fn without_a_journal_an_open_circuit_rejects_at_once() {
    let stage = Stage::new(Policy { journals: false, ..Policy::default() });
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.server.be(Mood::Away);
    let (first, _) = stage.call_on(&stage.storage, "updateSession", &session, r#"{"title":"x"}"#);
    assert_eq!(first.unwrap_err().code, Code::Unavailable);
    stage.until("open", |standings| {
        let _ = stage.call("getSession", &session, "");
        standings.standing.as_str() == "degraded"
    });
    let (answer, beats) = stage.call_on(&stage.storage, "getSession", &session, "");
    let error = answer.unwrap_err();
    assert_eq!((error.code, beats), (Code::CircuitOpen, 0));
    assert!(error.detail.unwrap().retry_after_ms.unwrap() <= 1_100);
    stage.recover();
    assert_eq!(stage.call("getSession", &session, "").unwrap()["sessionId"], json!(session));
}

#[test]
fn a_silent_server_costs_a_call_its_deadline_and_no_more() {
    let stage = Stage::new(Policy { journals: false, ..Policy::default() });
    stage.server.be(Mood::Silent);
    let (answer, beats) = stage.call_on(&stage.storage, "createSession", "u", "{}");
    let error = answer.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::Timeout, Effect::Unknown));
    assert!((90..=102).contains(&beats), "2 s are 100 beats: {beats}");
    assert!(error.detail.unwrap().attempts.unwrap() >= 2);
}

#[test]
fn a_server_that_refuses_writes_is_not_away() {
    let stage = Stage::new(Policy::default());
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.server.be(Mood::Full);
    for _ in 0..10 {
        let error = stage.call("updateSession", &session, r#"{"title":"x"}"#).unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(stage.call("getSession", &session, "").unwrap().get("stale"), None);
    }
    assert_eq!((stage.state(), stage.standings().journal_entries), ("healthy", 0));
}

#[test]
fn five_thousand_kept_writes_are_brought_within_two_and_a_half_seconds_of_beats() {
    let stage = Stage::new(Policy::default());
    let sessions: Vec<_> =
        (0..50).map(|_| id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId")).collect();
    stage.lose();
    for n in 0..5_000 {
        stage.call("appendEvent", &sessions[n % 50], r#"{"type":"custom:x"}"#).unwrap();
    }
    stage.server.be(Mood::Well);
    stage.until("recovering", |standings| standings.standing.as_str() == "recovering");
    let mut beats = 0;
    while stage.state() != "healthy" {
        stage.beat();
        beats += 1;
    }
    assert!(beats <= 125, "2,000 a second are 40 a beat: {beats} beats");
    assert!(sessions.iter().all(|session| log(&stage, session).len() == 101));
}
