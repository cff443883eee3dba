//! Calls of one moment that go as one: whoever asks the same of the same thing within a turn of the caller's loop shares one
//! transaction, and gets its part of the answer.
//!
//! The first one lets the others come: it asks to be polled again, which happens when all that is ready to run has run.

use std::future::{Future, poll_fn};
use std::mem::{replace, take};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hashbrown::HashMap;

use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::run::Run;

/// Calls of one group at the most: their names are operands of one command of a script.
pub(super) const MOST: usize = 512;
/// What a group brings in bytes, about, before nobody joins it any more.
const MOST_BYTES: usize = 1 << 20;
/// Deadlines of one group are no further apart: it has the first one's.
const APART_MS: u64 = 5;

/// Groups that others may still join, by what they are about.
#[derive(Debug)]
pub(super) struct Together<I, A>(Mutex<HashMap<String, Arc<Group<I, A>>>>);

struct Group<I, A> {
    deadline: Timestamp,
    stage: Mutex<Stage<I, A>>,
    waiting: Arc<Waiting>,
}

enum Stage<I, A> {
    /// What the members bring, by their places. The leader's turn begins the run.
    Open { items: Vec<Option<I>>, bytes: usize, leader: Option<usize>, turned: bool },
    /// The run, and whose items it has.
    Running { run: Run<Result<Vec<A>>>, places: Vec<usize> },
    /// The answers by the members' places.
    Done(Result<Vec<Option<A>>>),
}

/// Whom the run wakes: each of them may be the only one that is still there.
#[derive(Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Waiting {
    fn add(&self, waker: &Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let all = take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().for_each(Waker::wake);
    }
}

impl<I, A> std::fmt::Debug for Group<I, A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Group").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<I, A> Default for Together<I, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<I, A> Group<I, A> {
    fn stage(&self) -> MutexGuard<'_, Stage<I, A>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stores {
    /// Gives an item of so many bytes to the group about `what` and waits for its part of the answer: `run` gets the items of
    /// all who still wait, and answers as many. On a backend that answers at once everybody goes alone.
    pub(super) async fn together<I: Send, A: Send>(
        &self,
        groups: &Together<I, A>,
        what: &str,
        call: Call,
        (item, bytes): (I, usize),
        run: impl FnOnce(Vec<I>) -> Run<Result<Vec<A>>> + Send,
    ) -> Result<A> {
        if self.backend.info().immediate {
            return run(vec![item]).await?.pop().ok_or_else(came_to_nothing);
        }
        let (mut member, mut run) = (groups.member(what, call.deadline, (item, bytes)), Some(run));
        poll_fn(move |context| member.poll(&mut run, context)).await
    }
}

impl<I: Send, A: Send> Together<I, A> {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Group<I, A>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member<'a>(
        &'a self,
        what: &'a str,
        deadline: Timestamp,
        (item, weight): (I, usize),
    ) -> Member<'a, I, A> {
        let mut open = self.open();
        if let Some(group) = open.get(what)
            && group.deadline.0.abs_diff(deadline.0) <= APART_MS
            && let Stage::Open { items, bytes, .. } = &mut *group.stage()
            && items.len() < MOST
            && *bytes < MOST_BYTES
        {
            let place = items.len();
            items.push(Some(item));
            *bytes += weight;
            return Member { together: self, what, group: Arc::clone(group), place };
        }
        let stage = Stage::Open { items: vec![Some(item)], bytes: weight, leader: Some(0), turned: false };
        let group = Arc::new(Group { deadline, stage: Mutex::new(stage), waiting: Arc::default() });
        open.insert(what.to_owned(), Arc::clone(&group));
        Member { together: self, what, group, place: 0 }
    }

    /// Nobody joins this group any more.
    fn shut(&self, what: &str, group: &Arc<Group<I, A>>) {
        let mut open = self.open();
        if open.get(what).is_some_and(|known| Arc::ptr_eq(known, group)) {
            open.remove(what);
        }
    }
}

/// One of a group.
struct Member<'a, I: Send, A: Send> {
    together: &'a Together<I, A>,
    what: &'a str,
    group: Arc<Group<I, A>>,
    place: usize,
}

impl<I: Send, A: Send> Member<'_, I, A> {
    /// Whether the others have come, and this one is to go on for all.
    fn has_turn(&self, context: &Context<'_>) -> bool {
        let mut stage = self.group.stage();
        let Stage::Open { leader, turned, .. } = &mut *stage else { return true };
        if *leader.get_or_insert(self.place) == self.place && replace(turned, true) {
            return true;
        }
        self.group.waiting.add(context.waker());
        if *leader == Some(self.place) {
            context.waker().wake_by_ref();
        }
        false
    }

    fn poll(
        &mut self,
        run: &mut Option<impl FnOnce(Vec<I>) -> Run<Result<Vec<A>>>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<A>> {
        if !self.has_turn(context) {
            return Poll::Pending;
        }
        // Who joined did so before this, or not at all.
        self.together.shut(self.what, &self.group);
        let mut stage = self.group.stage();
        if let Stage::Open { items, .. } = &mut *stage
            && let Some(run) = run.take()
        {
            let items = take(items);
            let present = (0..).zip(&items).filter(|(_, item)| item.is_some());
            let places = present.map(|(place, _)| place).collect();
            // Should the run panic, nobody waits for ever.
            *stage = Stage::Done(Err(came_to_nothing()));
            *stage = Stage::Running { run: run(items.into_iter().flatten().collect()), places };
        }
        if !matches!(&*stage, Stage::Done(_)) {
            // Before the run is looked at: it may end between the look and the wait.
            self.group.waiting.add(context.waker());
            if let Stage::Running { mut run, places } =
                replace(&mut *stage, Stage::Done(Err(came_to_nothing())))
            {
                let waker = Waker::from(Arc::clone(&self.group.waiting));
                let Poll::Ready(answers) = Pin::new(&mut run).poll(&mut Context::from_waker(&waker)) else {
                    *stage = Stage::Running { run, places };
                    return Poll::Pending;
                };
                *stage = Stage::Done(answers.map(|answers| placed(answers, &places)));
                waker.wake();
            }
        }
        let Stage::Done(answers) = &mut *stage else { return Poll::Pending };
        Poll::Ready(match answers {
            Ok(answers) => answers
                .get_mut(self.place)
                .and_then(Option::take)
                .ok_or_else(|| Error::internal("calls that went together were not all answered")),
            Err(error) => Err(error.clone()),
        })
    }
}

fn came_to_nothing() -> Error {
    Error::internal("calls that went together came to nothing")
}

fn placed<A>(answers: Vec<A>, places: &[usize]) -> Vec<Option<A>> {
    let mut all: Vec<Option<A>> = Vec::new();
    for (answer, place) in answers.into_iter().zip(places) {
        all.resize_with(place + 1, || None);
        if let Some(own) = all.get_mut(*place) {
            *own = Some(answer);
        }
    }
    all
}

impl<I: Send, A: Send> Drop for Member<'_, I, A> {
    fn drop(&mut self) {
        let mut stage = self.group.stage();
        let (mut is_left, mut is_deserted) = (matches!(&*stage, Stage::Done(_)), false);
        if let Stage::Open { items, leader, .. } = &mut *stage {
            // What nobody waits for is not sent.
            if let Some(item) = items.get_mut(self.place) {
                *item = None;
            }
            is_deserted = items.iter().all(Option::is_none);
            is_left = leader.take_if(|leader| *leader == self.place).is_some();
        }
        drop(stage);
        if is_deserted {
            self.together.shut(self.what, &self.group);
        }
        if is_left {
            // Another one leads now, or learns what became of it.
            self.group.waiting.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What was run, as many answers as items, and the hand that lets it end.
    #[derive(Default)]
    struct Ran {
        runs: Mutex<Vec<Vec<u32>>>,
        waker: Mutex<Option<Waker>>,
        over: Mutex<bool>,
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn run(ran: &Arc<Ran>) -> impl FnOnce(Vec<u32>) -> Run<Result<Vec<u32>>> + Send + use<> {
        let ran = Arc::clone(ran);
        move |items| {
            ran.runs.lock().unwrap().push(items.clone());
            Run::later(poll_fn(move |context| {
                *ran.waker.lock().unwrap() = Some(context.waker().clone());
                let over = *ran.over.lock().unwrap();
                if over {
                    Poll::Ready(Ok(items.iter().map(|item| item * 10).collect()))
                } else {
                    Poll::Pending
                }
            }))
        }
    }

    struct One<'a>(Member<'a, u32, u32>, Arc<Ran>, Arc<Woken>);

    impl One<'_> {
        fn poll(&mut self) -> Option<Result<u32>> {
            let waker = Waker::from(Arc::clone(&self.2));
            match self.0.poll(&mut Some(run(&self.1)), &mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            }
        }

        fn woken(&self) -> usize {
            self.2.0.swap(0, Ordering::Relaxed)
        }
    }

    fn member<'a>(groups: &'a Together<u32, u32>, ran: &Arc<Ran>, item: u32, at: u64) -> One<'a> {
        One(groups.member("a", Timestamp(at), (item, 1)), Arc::clone(ran), Arc::default())
    }

    fn end(ran: &Ran) {
        *ran.over.lock().unwrap() = true;
        let waker = ran.waker.lock().unwrap().take();
        waker.unwrap().wake();
    }

    #[test]
    fn those_of_one_turn_share_a_run_and_each_gets_its_part() {
        let (groups, ran) = (Together::default(), Arc::<Ran>::default());
        let mut all: Vec<_> = (1..=3).map(|item| member(&groups, &ran, item, 0)).collect();
        assert!(all.iter_mut().all(|one| one.poll().is_none()));
        assert_eq!(all.iter().map(One::woken).collect::<Vec<_>>(), [1, 0, 0], "only the first goes on");
        assert!(ran.runs.lock().unwrap().is_empty());
        assert!(all[0].poll().is_none());
        assert_eq!(*ran.runs.lock().unwrap(), [[1, 2, 3]]);
        let mut late = member(&groups, &ran, 4, 0);
        assert!(late.poll().is_none() && late.poll().is_none());
        assert_eq!(*ran.runs.lock().unwrap(), [vec![1, 2, 3], vec![4]]);
        all.push(late);
        end(&ran);
        all[2].poll().unwrap().unwrap();
        let answers: Vec<_> = [0, 1, 3].map(|at| all[at].poll().unwrap().unwrap()).into();
        assert_eq!(answers, [10, 20, 40]);
        assert!(groups.open().is_empty());
    }

    #[test]
    fn who_leaves_takes_its_item_along_and_another_one_leads() {
        let (groups, ran) = (Together::default(), Arc::<Ran>::default());
        let mut all: Vec<_> = (1..=3).map(|item| member(&groups, &ran, item, 0)).collect();
        assert!(all.iter_mut().all(|one| one.poll().is_none()));
        drop(all.remove(0));
        assert_eq!(all.iter().map(One::woken).sum::<usize>(), 2);
        assert!(all[1].poll().is_none() && all[0].poll().is_none());
        assert_eq!(*ran.runs.lock().unwrap(), [[2, 3]]);
        // Gone behind the run: what it brought counts, and the rest have theirs.
        drop(all.remove(1));
        end(&ran);
        assert_eq!(all[0].woken(), 1);
        assert_eq!(all[0].poll().unwrap().unwrap(), 20);
        let alone = member(&groups, &ran, 9, 0);
        drop(alone);
        assert!(groups.open().is_empty());
    }

    #[test]
    fn a_group_is_bounded_and_of_one_deadline() {
        let (groups, ran) = (Together::default(), Arc::<Ran>::default());
        let mut all: Vec<_> = (0..2 * MOST).map(|item| member(&groups, &ran, item as u32, 0)).collect();
        let mut other = member(&groups, &ran, 7, APART_MS + 1);
        assert!(all.iter_mut().all(|one| one.poll().is_none()) && other.poll().is_none());
        for place in [0, MOST] {
            assert!(all[place].poll().is_none());
        }
        assert!(other.poll().is_none());
        let sizes: Vec<_> = ran.runs.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [MOST, MOST, 1]);
        let heavy = groups.member("b", Timestamp(0), (1, MOST_BYTES));
        let next = groups.member("b", Timestamp(0), (2, 1));
        assert!(!Arc::ptr_eq(&heavy.group, &next.group));
    }

    #[test]
    fn nobody_waits_for_ever_for_a_run_that_panics() {
        let (groups, ran) = (Together::default(), Arc::<Ran>::default());
        let (mut first, mut second) = (member(&groups, &ran, 1, 0), member(&groups, &ran, 2, 0));
        assert!(first.poll().is_none() && second.poll().is_none());
        let waker = Waker::noop();
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let run = |_| -> Run<Result<Vec<u32>>> { std::panic::resume_unwind(Box::new(())) };
            first.0.poll(&mut Some(run), &mut Context::from_waker(waker)).is_pending()
        }));
        assert!(panics.is_err());
        drop(first);
        assert_eq!(second.woken(), 1);
        assert_eq!(second.poll().unwrap().unwrap_err().code, crate::error::Code::Internal);
    }
}
