//! The rules of states: which follows which, what a step's change means for its chain. Pure.

use crate::clock::Timestamp;
use crate::schema::{Chain, ChainStatus, SessionState, StepCounts, StepStatus};

/// A state that has rules.
pub(super) trait State: Copy + PartialEq {
    fn name(self) -> &'static str;
    /// Whether `to` may follow. Staying is not asked about: it is always allowed and changes nothing.
    fn may_become(self, to: Self) -> bool;
}

impl State for SessionState {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
        }
    }

    fn may_become(self, to: Self) -> bool {
        use SessionState::{Active, Completed, Paused};
        matches!((self, to), (Active, Paused | Completed) | (Paused, Active | Completed))
    }
}

impl State for ChainStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn may_become(self, to: Self) -> bool {
        use ChainStatus::{Cancelled, Completed, Failed, InProgress, Pending};
        matches!(
            (self, to),
            (Pending, InProgress | Cancelled | Failed)
                | (InProgress, Completed | Failed | Cancelled)
                | (Failed, InProgress)
        )
    }
}

impl State for StepStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    fn may_become(self, to: Self) -> bool {
        use StepStatus::{Completed, Failed, InProgress, Pending, Skipped};
        matches!(
            (self, to),
            (Pending, InProgress | Skipped | Failed)
                | (InProgress, Completed | Failed | Skipped)
                | (Failed, InProgress)
        )
    }
}

/// The event of a session that goes from one state to another.
pub(super) fn session_event(from: SessionState, to: SessionState) -> &'static str {
    match to {
        _ if from == to => "session:updated",
        SessionState::Active => "session:resumed",
        SessionState::Paused => "session:paused",
        SessionState::Completed => "session:completed",
    }
}

/// The event of a chain that goes from one status to another.
pub(super) fn chain_event(from: ChainStatus, to: ChainStatus) -> &'static str {
    match to {
        _ if from == to => "chain:updated",
        ChainStatus::Pending | ChainStatus::InProgress => "chain:started",
        ChainStatus::Completed => "chain:completed",
        ChainStatus::Failed => "chain:failed",
        ChainStatus::Cancelled => "chain:cancelled",
    }
}

/// The event of a step that goes from one status to another.
pub(super) fn step_event(from: StepStatus, to: StepStatus) -> &'static str {
    match to {
        _ if from == to => "step:updated",
        StepStatus::InProgress if from == StepStatus::Failed => "step:retried",
        // Back to pending: its worker was lost, and it is to be tried again.
        StepStatus::Pending => "step:retried",
        StepStatus::InProgress => "step:started",
        StepStatus::Completed => "step:completed",
        StepStatus::Failed => "step:failed",
        StepStatus::Skipped => "step:skipped",
    }
}

pub(super) fn is_terminal(status: ChainStatus) -> bool {
    matches!(status, ChainStatus::Completed | ChainStatus::Failed | ChainStatus::Cancelled)
}

/// Moves a chain to a status, with the times that belong to it.
pub(super) fn move_chain(chain: &mut Chain, to: ChainStatus, now: Timestamp) {
    chain.status = to;
    if to == ChainStatus::InProgress {
        chain.started_at = chain.started_at.or(Some(now));
    }
    chain.completed_at = is_terminal(to).then_some(now);
    chain.archived_at = chain.archived_at.filter(|_| is_terminal(to));
}

fn count(counts: &mut StepCounts, status: StepStatus) -> &mut u64 {
    match status {
        StepStatus::Pending => &mut counts.pending,
        StepStatus::InProgress => &mut counts.in_progress,
        StepStatus::Completed => &mut counts.completed,
        StepStatus::Failed => &mut counts.failed,
        StepStatus::Skipped => &mut counts.skipped,
    }
}

/// Rolls a step's change up into its chain: `from` is `None` for a new step, `to` for one that is deleted.
///
/// The counts always follow. The status follows unless the chain is `manual`: the first started step
/// starts a pending chain, a retried step revives a failed one, and when no step is left to do the chain
/// is completed, or failed if a step is.
pub(super) fn roll_up(
    chain: &mut Chain,
    manual: bool,
    from: Option<StepStatus>,
    to: Option<StepStatus>,
    now: Timestamp,
) {
    let counts = &mut chain.step_counts;
    for (status, up) in [(from, false), (to, true)] {
        if let Some(status) = status {
            let one = count(counts, status);
            *one = if up { *one + 1 } else { one.saturating_sub(1) };
        }
    }
    counts.total = counts.pending + counts.in_progress + counts.completed + counts.failed + counts.skipped;
    chain.updated_at = now;
    if manual {
        return;
    }
    let started = from != to && to == Some(StepStatus::InProgress);
    let all_done = counts.total > 0 && counts.pending + counts.in_progress == 0;
    let any_failed = counts.failed > 0;
    match chain.status {
        ChainStatus::Pending | ChainStatus::InProgress if all_done => {
            move_chain(chain, if any_failed { ChainStatus::Failed } else { ChainStatus::Completed }, now);
        }
        ChainStatus::Pending | ChainStatus::Failed if started => {
            move_chain(chain, ChainStatus::InProgress, now)
        }
        _ => {}
    }
}
