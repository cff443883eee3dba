//! A process that dies while its server is away, or while it brings back what was kept.

use std::sync::Arc;

use flowkeep_core::error::{Code, Effect};
use flowkeep_core::journal::Fsync;
use flowkeep_core::layers::resilient::{Bounds, Policy};
use serde_json::{Value, json};

use crate::paper::Paper;
use crate::stage::{Mood, Server, Stage, id};

fn begin(server: &Arc<Server>, paper: &Paper, fsync: Fsync) -> Stage {
    let bounds = Bounds { entries: 1_000, ..Policy::default().bounds };
    let policy = Policy { bounds, ..Policy::default() };
    Stage::over(Arc::clone(server), policy, Some(paper.open(fsync)))
}

/// The process dies: what it had in memory is gone, and what lies on the disk stays.
fn die(stage: Stage) -> Arc<Server> {
    let server = Arc::clone(&stage.server);
    drop(stage);
    server
}

fn append(stage: &Stage, session: &str, n: u64) {
    let event = format!(r#"{{"type":"custom:n","data":{{"n":{n}}}}}"#);
    let (answer, beats) = stage.call_on(&stage.storage, "appendEvent", session, &event);
    assert_eq!(answer.unwrap()["pending"], json!(true));
    assert_eq!(beats, 1, "it is acknowledged once the tick has written it");
}

fn numbers(stage: &Stage, session: &str) -> Vec<u64> {
    let query = format!(r#"{{"sessionId":"{session}","types":["custom:n"],"limit":1000}}"#);
    let page = stage.call("events", "", &query).unwrap();
    page["items"].as_array().unwrap().iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

fn is_healthy(stage: &Stage) {
    stage.until("healthy", |standings| standings.standing.as_str() == "healthy");
    assert_eq!(stage.standings().conflicts, 0);
}

#[test]
fn what_was_acknowledged_outlives_the_process_and_is_brought_by_the_next() {
    let paper = Paper::default();
    let stage = begin(&Stage::server(), &paper, Fsync::Always);
    let known = id(&stage.call("createSession", "u", r#"{"title":"0"}"#).unwrap(), "sessionId");
    stage.lose();
    for n in 0..10 {
        append(&stage, &known, n);
    }
    stage.call("updateSession", &known, r#"{"title":"1"}"#).unwrap();
    stage.call("updateSession", &known, r#"{"tags":["2"]}"#).unwrap();
    let fresh = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    let chain = id(&stage.call("createChain", &fresh, r#"{"title":"c"}"#).unwrap(), "chainId");
    let step = id(&stage.call("createStep", &chain, r#"{"action":"a"}"#).unwrap(), "stepId");
    let server = die(stage);
    // The machine, too.
    paper.crash();
    let stage = begin(&server, &paper, Fsync::Always);
    assert_eq!(stage.standings().journal_entries, 15);
    // Still away: what is kept is known, and goes on.
    let read = stage.call("getSession", &fresh, "").unwrap();
    assert_eq!(read["pending"], json!(true));
    stage.lose();
    stage.call("updateStep", &step, r#"{"status":"in_progress"}"#).unwrap();
    let server = die(stage);
    let stage = begin(&server, &paper, Fsync::Always);
    stage.server.be(Mood::Well);
    is_healthy(&stage);
    assert_eq!(numbers(&stage, &known), (0..10).collect::<Vec<_>>());
    let read = stage.call("getSession", &known, "").unwrap();
    assert_eq!((&read["title"], &read["tags"], &read["version"]), (&json!("1"), &json!(["2"]), &json!(3)));
    let read = stage.call("getStep", &step, "").unwrap();
    assert_eq!((&read["status"], read.get("pending")), (&json!("in_progress"), None));
    assert_eq!(stage.call("getChain", &chain, "").unwrap()["stepCounts"]["inProgress"], json!(1));
    // Nothing is left to be brought again.
    assert_eq!(paper.open(Fsync::Always).1.entries.len(), 0);
}

#[test]
fn a_process_that_dies_while_it_brings_what_was_kept_makes_nothing_twice() {
    let paper = Paper::default();
    let stage = begin(&Stage::server(), &paper, Fsync::Always);
    let sessions: Vec<_> =
        (0..5).map(|_| id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId")).collect();
    stage.lose();
    for n in 0..100 {
        append(&stage, &sessions[n as usize % 5], n);
        let title = format!(r#"{{"title":"{n}"}}"#);
        stage.call("updateSession", &sessions[n as usize % 5], &title).unwrap();
    }
    let mut server = die(stage);
    // Each life brings a little more. Some answers are lost, and the disk forgets what was not forced to it.
    for life in 0..50 {
        let stage = begin(&server, &paper, Fsync::Always);
        server.be(if life % 3 == 0 { Mood::Deaf(3) } else { Mood::Well });
        (0..life % 4).for_each(|_| stage.beat());
        server = die(stage);
        if life % 2 == 0 {
            paper.crash();
        }
    }
    let stage = begin(&server, &paper, Fsync::Always);
    server.be(Mood::Well);
    is_healthy(&stage);
    for (at, session) in (0..).zip(&sessions) {
        assert_eq!(numbers(&stage, session), (0..20).map(|n| n * 5 + at).collect::<Vec<u64>>());
        let read = stage.call("getSession", session, "").unwrap();
        assert_eq!((&read["version"], &read["title"]), (&json!(21), &json!(format!("{}", 95 + at))));
    }
    assert_eq!(stage.call("conflicts", "", "").unwrap(), json!([]));
}

#[test]
fn a_file_that_fails_is_told_and_nothing_more_is_accepted() {
    let paper = Paper::default();
    let stage = begin(&Stage::server(), &paper, Fsync::Always);
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    append(&stage, &session, 0);
    paper.0.lock().unwrap().fails_to_sync = true;
    let event = r#"{"type":"custom:n","data":{"n":1}}"#;
    let error = stage.call("appendEvent", &session, event).unwrap_err();
    assert_eq!((error.code, error.effect), (Code::Unavailable, Effect::Unknown));
    paper.0.lock().unwrap().fails_to_sync = false;
    let error = stage.call("appendEvent", &session, event).unwrap_err();
    assert_eq!((error.code, error.effect), (Code::Unavailable, Effect::NotApplied));
    assert!(stage.standings().journal_failed.is_some());
    let news: Vec<Value> = serde_json::from_str(&stage.storage.stack().unwrap().news().unwrap()).unwrap();
    let told: Vec<_> = news.iter().filter(|one| one["type"] == json!("journalError")).collect();
    assert_eq!(told.len(), 1);
    // What is in memory is brought all the same.
    stage.recover();
    assert_eq!(numbers(&stage, &session), [0, 1]);
}

#[test]
fn what_stands_behind_something_kept_is_asked_for_when_that_was_brought() {
    let paper = Paper::default();
    let stage = begin(&Stage::server(), &paper, Fsync::Always);
    let session = id(&stage.call("createSession", "u", r#"{"title":"0"}"#).unwrap(), "sessionId");
    stage.call("createChain", &session, r#"{"title":"there before"}"#).unwrap();
    stage.lose();
    append(&stage, &session, 0);
    let server = die(stage);
    server.be(Mood::Well);
    // This process has seen nothing of the session, and still answers nothing false.
    let stage = begin(&server, &paper, Fsync::Always);
    let chains = stage.call("listChains", &session, "").unwrap();
    assert_eq!(chains[0]["title"], json!("there before"));
    assert_eq!(stage.call("getSession", &session, "").unwrap().get("pending"), None);
}

#[test]
fn damage_is_told_when_the_file_is_opened() {
    let paper = Paper::default();
    let stage = begin(&Stage::server(), &paper, Fsync::Always);
    let session = id(&stage.call("createSession", "u", "{}").unwrap(), "sessionId");
    stage.lose();
    (0..3).for_each(|n| append(&stage, &session, n));
    let server = die(stage);
    let middle = paper.bytes().len() / 2;
    paper.0.lock().unwrap().bytes[middle] ^= 1;
    server.be(Mood::Well);
    let stage = begin(&server, &paper, Fsync::Always);
    let news: Vec<Value> = serde_json::from_str(&stage.storage.stack().unwrap().news().unwrap()).unwrap();
    assert_eq!((&news[0]["type"], &news[0]["quarantine"]), (&json!("journalError"), &json!("aside 1")));
    is_healthy(&stage);
    assert_eq!(numbers(&stage, &session), [0, 2]);
}
