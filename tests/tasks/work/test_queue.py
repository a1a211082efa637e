"""The lease queue: nothing lost, nothing accepted twice, whoever dies in whatever order."""

import collections

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from tasks.work.blame import LOSS_LIMIT
from tasks.work.order import Shuffled
from tasks.work.queue import Grant, LeaseQueue
from tasks.work.states import Effect, State, Verdict

NODES = ("a", "b", "c")


def queue_of(count: int, *nodes: str, attempts: int = 1, shuffled: bool = False) -> LeaseQueue:
    """Make a queue whose input is complete and whose nodes are there."""
    queue = LeaseQueue(attempts=attempts, lease_s=10, order=Shuffled(count, "seed") if shuffled else None)
    queue.items.grow(count)
    queue.complete = True
    for node in nodes:
        queue.join(node, 0.0)
    return queue


def leased(queue: LeaseQueue, node: str, limit: int, now_s: float = 0.0) -> list[int]:
    """Lease and return the indexes alone."""
    return [grant.index for grant in queue.lease(node, limit, now_s)]


def test_items_are_handed_out_in_their_order_each_once() -> None:
    queue = queue_of(5, "a", "b")
    assert [leased(queue, "a", 2), leased(queue, "b", 2), leased(queue, "a", 9), leased(queue, "b", 9)] == [
        [0, 1], [2, 3], [4], [],
    ]  # fmt: skip


def test_a_silent_nodes_leases_go_back_and_a_beat_keeps_them() -> None:
    queue = queue_of(4, "a", "b")
    leased(queue, "a", 2)
    leased(queue, "b", 2)
    queue.heard("b", 9.0)
    assert queue.expire(10.5) == {"a": [0, 1]}
    assert queue.lease("b", 9, 10.5) == [Grant(0, 2), Grant(1, 2)]


def test_a_silent_node_is_given_nothing_before_it_is_heard_again() -> None:
    queue = queue_of(2, "a", "b")
    leased(queue, "a", 2)
    for second in range(11, 41):
        queue.heard("b", second)
        queue.expire(second)
        assert leased(queue, "a", 2, second) == [], "it would lose the same items again and again"
    assert queue.give_up() == []
    queue.heard("a", 41.0)
    assert leased(queue, "a", 2, 41.0) == [0, 1]


def test_a_late_result_is_accepted_and_the_second_copy_is_called_off() -> None:
    queue = queue_of(1, "a", "b")
    leased(queue, "a", 1)
    queue.expire(11.0)
    queue.heard("b", 11.0)
    leased(queue, "b", 1, 11.0)
    late = queue.settle("a", 0, Verdict.OK)
    assert (late.effect, late.cancel_at) == (Effect.OK, ("b",))
    assert queue.settle("b", 0, Verdict.OK).effect is Effect.DUPLICATE
    assert queue.items.ledger().ok == 1


def test_a_failed_item_is_tried_again_elsewhere_and_quarantined_when_that_fails_too() -> None:
    queue = queue_of(1, "a", "b", attempts=5)
    leased(queue, "a", 1)
    assert queue.settle("a", 0, Verdict.FAILED).effect is Effect.RETRY
    assert leased(queue, "a", 1) == []
    assert leased(queue, "b", 1) == [0]
    assert queue.settle("b", 0, Verdict.FAILED).effect is Effect.QUARANTINED


def test_with_one_node_only_the_item_is_tried_there_until_it_is_out_of_attempts() -> None:
    queue = queue_of(1, "a", attempts=3)
    effects = []
    for _ in range(3):
        assert leased(queue, "a", 1) == [0]
        effects.append(queue.settle("a", 0, Verdict.FAILED).effect)
    assert effects == [Effect.RETRY, Effect.RETRY, Effect.FAILED]


def test_a_node_that_leaves_makes_its_failed_items_eligible_where_they_failed() -> None:
    queue = queue_of(1, "a", "b", attempts=2)
    leased(queue, "a", 1)
    queue.settle("a", 0, Verdict.FAILED)
    queue.holders["b"].draining = True
    assert leased(queue, "a", 1) == [0]


def test_losing_a_node_counts_against_no_item_until_it_has_happened_too_often() -> None:
    queue = queue_of(1, "a")
    for _ in range(LOSS_LIMIT):
        assert queue.give_up() == []
        assert leased(queue, "a", 1) == [0]
        queue.lost("a")
    assert (queue.give_up(), queue.items.state(0)) == ([0], State.FAILED)


def test_stragglers_get_a_second_copy_and_the_first_result_wins() -> None:
    queue = queue_of(3, "a", "b")
    leased(queue, "a", 3)
    assert queue.speculate("b", 9, 5.0, 4.0) == []
    assert [grant.index for grant in queue.speculate("b", 2, 5.0, 6.0)] == [0, 1]
    assert queue.speculate("b", 0, 5.0, 6.0) == []
    settled = queue.settle("b", 0, Verdict.OK)
    assert settled.cancel_at == ("a",)
    assert queue.settle("a", 0, Verdict.CANCELLED).effect is Effect.DUPLICATE
    assert queue.settle("a", 1, Verdict.LOST).effect is Effect.REQUEUED
    assert queue.items.state(1) is State.LEASED


def test_a_node_on_which_everything_fails_is_cordoned_and_its_items_are_tried_elsewhere() -> None:
    queue = queue_of(100, "bad", "good")
    for _ in range(12):
        (good,) = leased(queue, "good", 1)
        queue.settle("good", good, Verdict.OK)
        (bad,) = leased(queue, "bad", 1)
        queue.settle("bad", bad, Verdict.FAILED)
    assert queue.suspect("good") is None
    cordoned = queue.suspect("bad")
    assert cordoned is not None
    assert (len(cordoned.reopened), queue.items.number(State.FAILED)) == (12, 0)
    assert leased(queue, "bad", 9) == []
    assert set(leased(queue, "good", 12)) == set(cordoned.reopened)


def test_where_everything_fails_everywhere_no_node_is_blamed() -> None:
    queue = queue_of(100, "a", "b")
    for _ in range(30):
        for node in ("a", "b"):
            (index,) = leased(queue, node, 1)
            queue.settle(node, index, Verdict.FAILED)
    assert (queue.suspect("a"), queue.suspect("b")) == (None, None)


def test_what_runs_since_an_earlier_session_is_adopted_and_the_rest_called_off() -> None:
    queue = queue_of(4)
    queue.restore(0, State.OK, 1)
    queue.join("a", 0.0)
    assert queue.adopt("a", [0, 2, 99], 0.0) == [0, 99]
    queue.join("b", 0.0)
    assert leased(queue, "b", 9) == [1, 3]


def test_the_ledger_tells_a_stopped_run_from_a_halted_one() -> None:
    queue = queue_of(3, "a")
    leased(queue, "a", 1)
    assert (queue.items.ledger().skipped, queue.items.ledger(interrupted=True).cancelled) == (3, 3)


def test_a_million_items_cost_two_bytes_each() -> None:
    queue = queue_of(10**6, "a")
    leased(queue, "a", 1000)
    assert (len(queue.items.states) + len(queue.items.attempts), len(queue.holders["a"].holding)) == (2 * 10**6, 1000)


class QueueMachine(stateful.RuleBasedStateMachine):
    """Every step a node, a controller or the network can take, in any order; the model remembers all results."""

    @stateful.initialize(count=st.integers(1, 30), attempts=st.integers(1, 3), shuffled=st.booleans())
    def start(self, count: int, attempts: int, shuffled: bool) -> None:
        self.now_s = 0.0
        self.attempts = attempts
        self.queue = queue_of(count, *NODES, attempts=attempts, shuffled=shuffled)
        self.out: dict[str, set[int]] = {node: set() for node in NODES}
        """What the nodes believe they have, also after their leases expired."""
        self.answers: collections.Counter[int] = collections.Counter()
        self.reopened: collections.Counter[int] = collections.Counter()
        self.failures: collections.Counter[int] = collections.Counter()

    @stateful.rule(node=st.sampled_from(NODES), limit=st.integers(1, 8))
    def lease(self, node: str, limit: int) -> None:
        for grant in self.queue.lease(node, limit, self.now_s):
            assert self.queue.items.state(grant.index) is State.LEASED
            self.out[node].add(grant.index)

    @stateful.rule(node=st.sampled_from(NODES))
    def speculate(self, node: str) -> None:
        self.out[node].update(grant.index for grant in self.queue.speculate(node, 3, 1.0, self.now_s))

    @stateful.rule(
        node=st.sampled_from(NODES), verdict=st.sampled_from(Verdict), pick=st.integers(0, 99), twice=st.booleans()
    )
    def answer(self, node: str, verdict: Verdict, pick: int, twice: bool) -> None:
        if not self.out[node]:
            return
        index = sorted(self.out[node])[pick % len(self.out[node])]
        if not twice:
            self.out[node].remove(index)
        settled = self.queue.settle(node, index, verdict)
        for other in settled.cancel_at:
            assert index in self.out[other]
        if settled.effect in (Effect.OK, Effect.FAILED, Effect.QUARANTINED):
            self.answers[index] += 1
        if verdict is Verdict.FAILED and settled.effect is not Effect.DUPLICATE:
            self.failures[index] += 1
            assert settled.effect is not Effect.FAILED or self.failures[index] >= self.attempts

    @stateful.rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.queue.expire(self.now_s)

    @stateful.rule(node=st.sampled_from(NODES))
    def beat(self, node: str) -> None:
        self.queue.heard(node, self.now_s)

    @stateful.rule(node=st.sampled_from(NODES))
    def agent_restarts(self, node: str) -> None:
        self.out[node].clear()
        self.queue.lost(node)

    @stateful.rule(node=st.sampled_from(NODES))
    def node_comes_back_with_what_it_runs(self, node: str) -> None:
        self.queue.join(node, self.now_s)
        self.out[node].difference_update(self.queue.adopt(node, sorted(self.out[node]), self.now_s))

    @stateful.rule(node=st.sampled_from(NODES))
    def suspect(self, node: str) -> None:
        cordoned = self.queue.suspect(node)
        if cordoned is not None:
            self.reopened.update(cordoned.reopened)

    @stateful.rule()
    def give_up(self) -> None:
        self.answers.update(self.queue.give_up())

    @stateful.invariant()
    def no_item_is_answered_twice(self) -> None:
        if not hasattr(self, "queue"):
            return
        for index, number in self.answers.items():
            answered = self.queue.items.state(index) in (State.OK, State.FAILED, State.QUARANTINED)
            assert number == self.reopened[index] + answered

    @stateful.invariant()
    def every_item_is_somewhere_and_the_ledger_adds_up(self) -> None:
        if not hasattr(self, "queue"):
            return
        held = {index for holder in self.queue.holders.values() for index in holder.holding}
        assert held == {index for index in range(self.queue.count) if self.queue.items.state(index) is State.LEASED}
        assert sum(self.queue.items.number(state) for state in State) == self.queue.count
        assert self.queue.items.ledger().done == sum((self.answers - self.reopened).values())

    def teardown(self) -> None:
        """Whatever has happened, three good nodes finish the rest."""
        if not hasattr(self, "queue"):
            return
        for holder in self.queue.holders.values():
            holder.cordoned = False
        for node in NODES:
            self.queue.release(node)
            self.queue.heard(node, self.now_s)
        for _ in range(10 * self.queue.count + 10):
            for node in NODES:
                for grant in self.queue.lease(node, 4, self.now_s):
                    self.queue.settle(node, grant.index, Verdict.OK)
        assert self.queue.finished


QueueMachine.TestCase.settings = hypothesis.settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
