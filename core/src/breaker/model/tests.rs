//! The machine against a second, naive model, on random histories.

use fastrand::Rng;

use super::*;

const CLOSED: Mode = Mode::Closed;
const OPEN: Mode = Mode::Open;
const HALF: Mode = Mode::HalfOpen;
const VOTERS: u64 = 4;

/// The same contract, written down as plainly as it goes: everything is remembered and looked through again.
#[derive(Debug, Default)]
struct Naive {
    mode: Mode,
    generation: u64,
    until: Option<u64>,
    streak: u32,
    now: u64,
    results: Vec<(u64, bool, bool)>,
    votes: Vec<(u64, u64, bool)>,
    /// When it ends, whether it has ended, whether well.
    probes: Vec<(u64, bool)>,
    passed: usize,
}

impl Naive {
    fn go(&mut self, mode: Mode, until: Option<u64>) {
        (self.mode, self.until, self.passed) = (mode, until, 0);
        self.generation += 1;
        self.probes.clear();
        self.votes.clear();
        if mode == CLOSED {
            self.results.clear();
            self.streak = 0;
        }
    }

    fn open(&mut self, policy: &Policy) {
        let mut ms = policy.open_ms;
        for _ in 0..self.streak {
            ms *= policy.open_growth;
        }
        let until = self.now + ms.min(policy.max_open_ms).ceil() as u64;
        self.streak += 1;
        self.go(OPEN, Some(until));
    }

    fn pass_time(&mut self, policy: &Policy, now: u64) {
        self.now = self.now.max(now);
        let over = self.until.is_some_and(|until| self.now >= until);
        if over && self.mode == OPEN {
            let most = policy.max_half_open_ms as u64;
            self.go(HALF, (most > 0).then(|| self.now + most));
        } else if over && self.mode == HALF {
            self.open(policy);
        } else if over {
            self.go(CLOSED, None);
        }
        self.new_wave(policy);
    }

    fn new_wave(&mut self, policy: &Policy) {
        let full = self.probes.len() >= (policy.probes.floor() as usize).max(1);
        let idle = self.probes.iter().all(|(until, ended)| *ended || *until <= self.now);
        if self.mode == HALF && full && idle {
            self.generation += 1;
            self.probes.clear();
        }
    }

    fn in_window(&self, policy: &Policy) -> Vec<(u64, bool, bool)> {
        match policy.span {
            Span::Calls(most) => self.results.iter().rev().take(most).copied().collect(),
            Span::Time(ms) => {
                let width = (ms / 100.0).ceil();
                let oldest = (self.now as f64 / width).floor() - (ms / width).ceil();
                let young = |result: &&(u64, bool, bool)| (result.0 as f64 / width).floor() > oldest;
                self.results.iter().filter(young).copied().collect()
            }
        }
    }

    fn should_open(&self, policy: &Policy, failed: bool) -> bool {
        let row = self.results.iter().rev().take_while(|result| result.1).count() as f64;
        let window = self.in_window(policy);
        let (calls, failures) = (window.len() as f64, window.iter().filter(|result| result.1).count() as f64);
        let slow = window.iter().filter(|result| result.2).count() as f64;
        let by_failures = policy.consecutive.is_some_and(|most| row >= most)
            || policy.failures.is_some_and(|most| failures >= most);
        (failed && by_failures)
            || failures > 0.0
                && policy
                    .rate
                    .is_some_and(|rate| calls >= rate.minimum && failures / calls >= rate.percentage / 100.0)
            || slow > 0.0
                && policy
                    .slow
                    .is_some_and(|rule| calls >= rule.minimum && slow / calls >= rule.percentage / 100.0)
    }

    fn apply(&mut self, policy: &Policy, event: Event, now: u64) -> Option<Permit> {
        self.pass_time(policy, now);
        match event {
            Event::Acquire => return self.acquire(policy),
            Event::Report(permit, outcome) => self.report(policy, permit, outcome),
            Event::Release(permit) => {
                if self.end(permit) {
                    self.new_wave(policy);
                }
            }
            Event::Trip => {
                if self.mode == CLOSED {
                    self.open(policy);
                }
            }
            Event::Vote { who, failing } => self.vote(policy, who, failing),
            Event::Command(command) => self.command(policy, command),
            Event::Tick => {}
        }
        None
    }

    fn acquire(&mut self, policy: &Policy) -> Option<Permit> {
        match self.mode {
            Mode::Closed | Mode::Disabled => Some(Permit { generation: self.generation, probe: 0 }),
            Mode::HalfOpen if self.probes.len() < (policy.probes.floor() as usize).max(1) => {
                self.probes.push((self.now + policy.lease_ms as u64, false));
                Some(Permit { generation: self.generation, probe: self.probes.len() as u32 })
            }
            _ => None,
        }
    }

    /// Whether this was a probe that runs.
    fn end(&mut self, permit: Permit) -> bool {
        if self.mode != HALF || permit.generation != self.generation || permit.probe == 0 {
            return false;
        }
        let now = self.now;
        let Some((until, ended)) = self.probes.get_mut(permit.probe as usize - 1) else { return false };
        !std::mem::replace(ended, true) && *until > now
    }

    fn report(&mut self, policy: &Policy, permit: Permit, outcome: Outcome) {
        let counts = self.mode == CLOSED && permit.generation == self.generation;
        let probe = self.end(permit);
        if !counts && !probe {
            return;
        }
        self.results.push((self.now, outcome.failed, outcome.slow));
        if counts && self.should_open(policy, outcome.failed) || probe && (outcome.failed || outcome.slow) {
            self.open(policy);
        } else if probe {
            self.passed += 1;
            if self.passed as f64 >= policy.success_threshold {
                self.go(CLOSED, None);
            }
            self.new_wave(policy);
        }
    }

    fn vote(&mut self, policy: &Policy, who: u64, failing: bool) {
        if self.mode != CLOSED {
            return;
        }
        self.votes.push((who, self.now, failing));
        // Of each the last one, if it is not too old.
        let last = |who: u64| self.votes.iter().rfind(|vote| vote.0 == who);
        let votes: Vec<bool> = (0..VOTERS)
            .filter_map(last)
            .filter(|vote| vote.1 + VOTE_MS > self.now)
            .map(|vote| vote.2)
            .collect();
        if votes.iter().filter(|failing| **failing).count() as f64 > votes.len() as f64 / 2.0 {
            self.open(policy);
        }
    }

    fn command(&mut self, policy: &Policy, command: Command) {
        let until = |ms: Option<u64>| ms.map(|ms| self.now + ms);
        match command {
            Command::Open { for_ms: None } if self.mode != OPEN => self.open(policy),
            Command::Open { for_ms } if self.mode != OPEN => {
                self.streak += 1;
                self.go(OPEN, until(for_ms));
            }
            Command::Isolate { for_ms } if self.mode != Mode::Isolated => {
                self.go(Mode::Isolated, until(for_ms))
            }
            Command::Disable { for_ms } if self.mode != Mode::Disabled => {
                self.go(Mode::Disabled, until(for_ms))
            }
            Command::Close if self.mode == CLOSED => {}
            Command::Close | Command::Reset => self.go(CLOSED, None),
            _ => {}
        }
    }
}

fn random_policy(rng: &mut Rng) -> Policy {
    let maybe = |rng: &mut Rng, most: u64| rng.bool().then(|| (rng.u64(1..most * 2) as f64) / 2.0);
    let minimum = rng.u64(1..8) as f64;
    Policy {
        consecutive: maybe(rng, 5),
        failures: maybe(rng, 6),
        rate: rng.bool().then(|| Rate { percentage: rng.f64() * 100.0, minimum }),
        slow: rng.bool().then(|| Slow { from_ms: 5.0, percentage: rng.f64() * 100.0, minimum }),
        span: if rng.bool() { Span::Calls(rng.usize(1..12)) } else { Span::Time(rng.u64(1..2_000) as f64) },
        open_ms: rng.u64(1..400) as f64,
        open_growth: if rng.bool() { 1.0 } else { 2.0 },
        max_open_ms: rng.u64(200..900) as f64,
        jitter: 0.0,
        probes: rng.u64(1..8) as f64 / 2.0,
        success_threshold: rng.u64(1..8) as f64 / 2.0,
        lease_ms: rng.u64(1..300) as f64,
        max_half_open_ms: if rng.bool() { 0.0 } else { rng.u64(1..600) as f64 },
        metrics_only: false,
    }
}

fn random_event(rng: &mut Rng, permits: &mut Vec<Permit>, fail: f64) -> Event {
    let some_ms = |rng: &mut Rng| rng.bool().then(|| rng.u64(0..300));
    match rng.u8(0..100) {
        0..45 => Event::Acquire,
        45..85 if !permits.is_empty() => {
            // Mostly ended once, sometimes again; old ones among them.
            let place = rng.usize(0..permits.len());
            let permit = if rng.u8(0..8) == 0 { permits[place] } else { permits.swap_remove(place) };
            Event::Report(permit, Outcome { failed: rng.f64() < fail, slow: rng.u8(0..6) == 0 })
        }
        85..88 if !permits.is_empty() => Event::Release(permits.swap_remove(rng.usize(0..permits.len()))),
        88 => Event::Vote { who: rng.u64(0..VOTERS), failing: rng.f64() < fail },
        89 => Event::Trip,
        90 => Event::Command(Command::Open { for_ms: some_ms(rng) }),
        91 => Event::Command(Command::Isolate { for_ms: some_ms(rng) }),
        92 => Event::Command(Command::Disable { for_ms: some_ms(rng) }),
        93 => Event::Command(Command::Close),
        94 => Event::Command(Command::Reset),
        _ => Event::Tick,
    }
}

#[test]
fn random_histories_agree_with_the_naive_model() {
    let given = std::env::var("FLOWKEEP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("FLOWKEEP_SEED={seed}");
    let mut seen = [0u32; 5];
    for history in 0..20_000u64 {
        let mut rng = Rng::with_seed(seed.wrapping_add(history));
        let policy = random_policy(&mut rng);
        let (mut state, mut naive) = (State::default(), Naive::default());
        let (mut permits, mut now) = (Vec::new(), 1_000_000u64);
        let fail = rng.f64();
        for at in 0..rng.usize(5..60) {
            now = if rng.u8(0..10) == 0 { now - rng.u64(0..90) } else { now + rng.u64(0..150) };
            let event = random_event(&mut rng, &mut permits, fail);
            let applied = apply(&policy, &mut state, event, now, 0.5);
            let expected = naive.apply(&policy, event, now);
            let told = |state: &State, naive: &Naive| {
                format!("seed {seed} history {history} event {at} {event:?} {policy:?}\n{state:?}\n{naive:?}")
            };
            let got = match applied.verdict {
                Verdict::Admitted(permit) => Some(permit),
                _ => None,
            };
            assert_eq!(got, expected, "{}", told(&state, &naive));
            assert_eq!(
                (state.mode, state.generation, state.until, state.passed, state.streak),
                (naive.mode, naive.generation, naive.until, naive.passed as u64, naive.streak),
                "{}",
                told(&state, &naive)
            );
            let window = naive.in_window(&policy);
            let at_now = state.at;
            let counts = state.window.counts(policy.span, at_now);
            assert_eq!(counts.calls, window.len() as u64, "{}", told(&state, &naive));
            assert_eq!(
                counts.failures,
                window.iter().filter(|result| result.1).count() as u64,
                "{}",
                told(&state, &naive)
            );
            permits.extend(got);
            seen[state.mode as usize] += 1;
            // A state is a value: what is stored and read again is the same.
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
    }
    assert!(seen.iter().all(|count| *count > 5_000), "every mode must be reached often: {seen:?}");
}
