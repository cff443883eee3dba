//! The machine by tables: (state, event) -> (state, transition).

use super::*;

const CLOSED: Mode = Mode::Closed;
const OPEN: Mode = Mode::Open;
const HALF: Mode = Mode::HalfOpen;

fn policy() -> Policy {
    Policy { consecutive: Some(2.0), open_ms: 1_000.0, success_threshold: 2.0, ..Policy::default() }
}

fn result(permit: Permit, failed: bool) -> Event {
    Event::Report(permit, Outcome { failed, slow: false })
}

fn call(generation: u64) -> Permit {
    Permit { generation, probe: 0 }
}

fn run(policy: &Policy, state: &mut State, event: Event, now: u64) -> (Verdict, Vec<(Mode, Mode, Cause)>) {
    let applied = apply(policy, state, event, now, 0.5);
    let moves = applied.transitions.iter().map(|moved| (moved.from, moved.to, moved.cause)).collect();
    (applied.verdict, moves)
}

/// A state in a mode, as it comes about by itself.
fn in_mode(policy: &Policy, mode: Mode, now: u64) -> State {
    let mut state = State::default();
    let command = match mode {
        Mode::Closed => Command::Reset,
        Mode::Open | Mode::HalfOpen => Command::Open { for_ms: None },
        Mode::Isolated => Command::Isolate { for_ms: None },
        Mode::Disabled => Command::Disable { for_ms: None },
    };
    let opened = if mode == HALF { now - policy.longest_open() } else { now };
    apply(policy, &mut state, Event::Command(command), opened, 0.5);
    apply(policy, &mut state, Event::Tick, now, 0.5);
    assert_eq!(state.mode, mode);
    state
}

#[test]
fn every_command_in_every_mode() {
    use Mode::{Closed, Disabled, HalfOpen, Isolated, Open};
    let modes = [Closed, Open, HalfOpen, Isolated, Disabled];
    let table = [
        (Command::Open { for_ms: None }, Open),
        (Command::Isolate { for_ms: None }, Isolated),
        (Command::Disable { for_ms: None }, Disabled),
        (Command::Close, Closed),
        (Command::Reset, Closed),
    ];
    for (command, to) in table {
        for from in modes {
            let mut state = in_mode(&policy(), from, 10_000);
            let before = state.clone();
            let (_, moves) = run(&policy(), &mut state, Event::Command(command), 10_100);
            assert_eq!(state.mode, to, "{command:?} in {from:?}");
            let expected = if from == to { vec![] } else { vec![(from, to, Cause::Command)] };
            assert_eq!(moves, expected, "{command:?} in {from:?}");
            if from == to && command != Command::Reset {
                assert_eq!((state.generation, state.until), (before.generation, before.until), "{command:?}");
            } else {
                assert!(state.generation > before.generation, "{command:?} in {from:?}");
            }
        }
    }
}

#[test]
fn what_each_mode_lets_through() {
    for (mode, passes, probe) in [
        (Mode::Closed, true, 0),
        (Mode::Disabled, true, 0),
        (Mode::HalfOpen, true, 1),
        (Mode::Open, false, 0),
        (Mode::Isolated, false, 0),
    ] {
        let mut state = in_mode(&policy(), mode, 10_000);
        let (verdict, moves) = run(&policy(), &mut state, Event::Acquire, 10_500);
        match verdict {
            Verdict::Admitted(permit) => assert!(passes && permit.probe == probe, "{mode:?}"),
            Verdict::Rejected(rejection) => {
                assert!(!passes && rejection.mode == mode, "{mode:?}");
                assert_eq!(rejection.retry_after_ms, (mode == OPEN).then_some(500));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(moves, [], "{mode:?}");
    }
}

#[test]
fn a_result_in_every_mode() {
    // (mode, failed) -> what changes; only probes and calls of a closed circuit count.
    let by_probe = Some((HALF, OPEN, Cause::ProbeFailed));
    for (mode, probe, failed, expected) in [
        (CLOSED, 0, false, None),
        (CLOSED, 0, true, None),
        (OPEN, 0, true, None),
        (HALF, 1, true, by_probe),
        (HALF, 1, false, None),
        (HALF, 0, true, None),
        (Mode::Isolated, 0, true, None),
        (Mode::Disabled, 0, true, None),
    ] {
        let mut state = in_mode(&policy(), mode, 10_000);
        if probe > 0 {
            run(&policy(), &mut state, Event::Acquire, 10_000);
        }
        let permit = Permit { generation: state.generation, probe };
        let (_, moves) = run(&policy(), &mut state, result(permit, failed), 10_001);
        assert_eq!(moves, expected.into_iter().collect::<Vec<_>>(), "{mode:?} {failed}");
        let counted = mode == CLOSED || probe > 0;
        assert_eq!(state.failures + state.successes, u64::from(counted), "{mode:?} {failed}");
    }
}

#[test]
fn rules_trip_at_their_threshold_and_not_before() {
    let none = Policy { consecutive: None, span: Span::Time(1_000.0), ..policy() };
    let rate = Rate { percentage: 50.0, minimum: 4.0 };
    let slow = Slow { from_ms: 10.0, percentage: 60.0, minimum: 5.0 };
    // f: failed, s: slow, o: neither; one each 100 ms. The circuit opens with the last letter.
    for (name, policy, calls, cause) in [
        ("in a row", policy(), "ofofoff", Cause::ConsecutiveFailures),
        (
            "a fraction in a row",
            Policy { consecutive: Some(2.5), ..policy() },
            "fff",
            Cause::ConsecutiveFailures,
        ),
        ("exactly the rate", Policy { rate: Some(rate), ..none.clone() }, "fofo", Cause::FailureRate),
        (
            "the minimum, reached by a success",
            Policy { rate: Some(rate), ..none.clone() },
            "fffo",
            Cause::FailureRate,
        ),
        (
            "failures in the window",
            Policy { failures: Some(3.0), ..none.clone() },
            "fofoof",
            Cause::FailuresInWindow,
        ),
        (
            "old ones do not count",
            Policy { failures: Some(3.0), ..none.clone() },
            "foooooooooofooff",
            Cause::FailuresInWindow,
        ),
        (
            "the last four calls",
            Policy { failures: Some(3.0), span: Span::Calls(4), ..none.clone() },
            "fooofoff",
            Cause::FailuresInWindow,
        ),
        ("slow calls", Policy { slow: Some(slow), ..none.clone() }, "ssoos", Cause::SlowCallRate),
    ] {
        let mut state = State::default();
        for (place, letter) in calls.char_indices() {
            let now = 5_000 + 100 * place as u64;
            let took = if letter == 's' { 10.0 } else { 9.9 };
            let outcome = Outcome::of(&policy, letter == 'f', took);
            let (_, moves) = run(&policy, &mut state, Event::Report(call(0), outcome), now);
            let last = place + 1 == calls.len();
            assert_eq!(moves, if last { vec![(CLOSED, OPEN, cause)] } else { vec![] }, "{name} at {place}");
        }
    }
}

#[test]
fn counting_only_never_opens() {
    let policy = Policy { metrics_only: true, ..policy() };
    let mut state = State::default();
    for now in 0..50 {
        assert_eq!(run(&policy, &mut state, result(call(0), true), now).1, []);
        assert_eq!(run(&policy, &mut state, Event::Trip, now).0, Verdict::Ignored);
    }
    assert_eq!((state.mode, state.failures, state.in_a_row), (CLOSED, 50, 50));
    run(&policy, &mut state, Event::Command(Command::Isolate { for_ms: None }), 60);
    assert_eq!(state.mode, Mode::Isolated);
}

#[test]
fn open_lasts_from_its_opening_and_grows() {
    let policy = Policy { open_growth: 2.0, max_open_ms: 3_000.0, success_threshold: 1.0, ..policy() };
    let mut state = State::default();
    let mut now = 10_000;
    run(&policy, &mut state, Event::Command(Command::Open { for_ms: None }), now);
    for expected in [1_000, 2_000, 3_000, 3_000] {
        assert_eq!(state.until, Some(now + expected));
        // Opening again in the middle moves nothing.
        run(&policy, &mut state, Event::Command(Command::Open { for_ms: None }), now + 500);
        assert!(matches!(
            run(&policy, &mut state, Event::Acquire, now + expected - 1).0,
            Verdict::Rejected(_)
        ));
        now += expected;
        let (verdict, moves) = run(&policy, &mut state, Event::Acquire, now);
        assert_eq!(moves, [(OPEN, HALF, Cause::TimeOver)]);
        let Verdict::Admitted(probe) = verdict else { panic!("{verdict:?}") };
        run(&policy, &mut state, result(probe, true), now);
    }
    // Closing forgets how often it opened.
    now += 3_000;
    let Verdict::Admitted(probe) = run(&policy, &mut state, Event::Acquire, now).0 else { panic!() };
    assert_eq!(run(&policy, &mut state, result(probe, false), now).1, [(HALF, CLOSED, Cause::ProbesPassed)]);
    assert_eq!((state.streak, policy.open_for(0, 0.5)), (0, 1_000));
    let spread = Policy { jitter: 0.2, ..policy };
    assert_eq!([0.0, 0.5, 1.0].map(|chance| spread.open_for(1, chance)), [1_600, 2_000, 2_400]);
}

#[test]
fn probes_are_few_and_each_has_a_lease() {
    let policy = Policy { probes: 2.0, success_threshold: 3.0, lease_ms: 100.0, ..policy() };
    let mut state = in_mode(&policy, HALF, 10_000);
    let admitted = |state: &mut State, now| match run(&policy, state, Event::Acquire, now).0 {
        Verdict::Admitted(permit) => Some(permit),
        _ => None,
    };
    let (a, b) = (admitted(&mut state, 10_000).unwrap(), admitted(&mut state, 10_000).unwrap());
    assert_eq!((a.probe, b.probe, admitted(&mut state, 10_000)), (1, 2, None));
    // One ends well: of this generation two have started, so no third one may.
    run(&policy, &mut state, result(a, false), 10_010);
    assert_eq!(admitted(&mut state, 10_020), None);
    // Finished twice counts once.
    assert_eq!(run(&policy, &mut state, result(a, false), 10_021).0, Verdict::Ignored);
    assert_eq!(state.passed, 1);
    // The other one never ends: its lease does, and a new wave begins, which its late failure does not touch.
    let c = admitted(&mut state, 10_100).unwrap();
    assert_eq!((c.generation, c.probe), (b.generation + 1, 1));
    assert_eq!(run(&policy, &mut state, result(b, true), 10_101), (Verdict::Ignored, vec![]));
    // One that is dropped leaves its place to the next wave.
    run(&policy, &mut state, Event::Release(c), 10_102);
    let d = admitted(&mut state, 10_103).unwrap();
    assert_eq!((d.generation, d.probe), (c.generation, 2));
    run(&policy, &mut state, result(d, false), 10_104);
    let e = admitted(&mut state, 10_105).unwrap();
    assert_eq!(run(&policy, &mut state, result(e, false), 10_106).1, [(HALF, CLOSED, Cause::ProbesPassed)]);
}

#[test]
fn half_open_does_not_last_for_ever() {
    let policy = Policy { max_half_open_ms: 500.0, ..policy() };
    let mut state = in_mode(&policy, HALF, 10_000);
    run(&policy, &mut state, Event::Acquire, 10_000);
    let until = state.until.unwrap();
    let (verdict, moves) = run(&policy, &mut state, Event::Acquire, until);
    assert_eq!(moves, [(HALF, OPEN, Cause::HalfOpenTooLong)]);
    assert!(matches!(verdict, Verdict::Rejected(Rejection { mode: OPEN, .. })));
}

#[test]
fn orders_end_when_their_time_is_over() {
    for (command, mode) in [
        (Command::Isolate { for_ms: Some(50) }, Mode::Isolated),
        (Command::Disable { for_ms: Some(50) }, Mode::Disabled),
    ] {
        let mut state = State::default();
        run(&policy(), &mut state, Event::Command(command), 1_000);
        run(&policy(), &mut state, Event::Tick, 1_049);
        assert_eq!(state.mode, mode);
        assert_eq!(run(&policy(), &mut state, Event::Tick, 1_050).1, [(mode, CLOSED, Cause::TimeOver)]);
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_it_open() {
    let mut state = in_mode(&policy(), OPEN, 3_600_000);
    run(&policy(), &mut state, Event::Tick, 3_600_400);
    // A little back is a quarrel between two readers, much is a correction.
    run(&policy(), &mut state, Event::Tick, 3_600_000);
    assert_eq!(state.at, 3_600_400);
    run(&policy(), &mut state, Event::Tick, 5_000);
    assert_eq!(state.until, Some(5_600));
    run(&policy(), &mut state, Event::Tick, 5_600);
    assert_eq!(state.mode, HALF);
}

#[test]
fn most_of_those_who_voted_lately_open_it() {
    // (who, failing, at) in turn; the circuit opens with the last one, or not at all.
    let none: &[(u64, bool, u64)] = &[];
    for (name, votes, opens) in [
        ("nobody", none, false),
        ("the only one", &[(1, true, 0)], true),
        ("half is not most", &[(1, false, 0), (2, true, 1)], false),
        ("two of three", &[(1, false, 0), (2, false, 0), (3, true, 1), (1, true, 2)], true),
        ("the same one again", &[(1, false, 0), (2, false, 0), (3, true, 1), (3, true, 2)], false),
        ("who changed its mind", &[(1, false, 0), (2, true, 1), (2, false, 2), (3, true, 3)], false),
        ("an old vote", &[(1, false, 0), (2, true, VOTE_MS)], true),
        ("a vote that is almost old", &[(1, false, 0), (2, true, VOTE_MS - 1)], false),
    ] {
        let mut state = State::default();
        for (place, &(who, failing, at)) in votes.iter().enumerate() {
            let (_, moves) = run(&policy(), &mut state, Event::Vote { who, failing }, 1_000 + at);
            let expected = opens && place + 1 == votes.len();
            assert_eq!(moves, if expected { vec![(CLOSED, OPEN, Cause::Quorum)] } else { vec![] }, "{name}");
        }
        assert_eq!(state.votes.is_empty(), opens || votes.is_empty(), "{name}: an election is over once");
    }
    // Where it is not closed, or only counts, nobody votes.
    for mode in [OPEN, HALF, Mode::Isolated, Mode::Disabled] {
        let mut state = in_mode(&policy(), mode, 10_000);
        let vote = Event::Vote { who: 1, failing: true };
        assert_eq!(run(&policy(), &mut state, vote, 10_000), (Verdict::Ignored, vec![]));
    }
    let counts = Policy { metrics_only: true, ..policy() };
    let vote = Event::Vote { who: 1, failing: true };
    assert_eq!(run(&counts, &mut State::default(), vote, 1), (Verdict::Ignored, vec![]));
}
