"""The tree of OmegaPRM, against completers whose chances are known."""

from math import isclose, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.training.labelling.labels import Labelled
from deliberate.training.labelling.omega_prm import Priority, omega_prm
from tests.training.labelling.worlds import World, solution


def truth(labelled: Labelled) -> int | None:
    return next((i for i, step in enumerate(labelled.solution.steps) if step != "0"), None)


def test_priorities_are_those_of_the_paper() -> None:
    priority = Priority()
    assert isclose(priority.value(1.0, 0), 1.0)
    assert isclose(priority.value(0.5, 0), 0.5**0.5)
    assert isclose(priority.value(0.25, 1000), 0.5**0.75 * 0.9**2)
    assert isclose(priority.exploration(3, 16), 0.125 * sqrt(16) / 4)


async def test_a_perfect_completer_leaves_only_the_given_error_to_find() -> None:
    world = World(length=8)
    states = world.states(4, reuse=False)
    wrong = solution(0, 0, 1, 0, 0, 0, 0, 0)
    found = await omega_prm([wrong], states)
    # The given solution says nothing of whether the problem can be solved. Then its error is looked for in eight steps.
    assert [(len(prefix), n) for prefix, n in world.asked] == [(0, 4), (4, 4), (2, 4), (3, 4)]
    by_tokens = {one.solution.tokens: one for one in found}
    assert by_tokens[wrong.tokens].hard == (True, True, False) + (None,) * 5
    assert by_tokens[solution(*(0,) * 8).tokens].hard == (True,) * 8
    assert states.completions == 16
    assert by_tokens[wrong.tokens].soft == (None, 1.0, 0.0) + (None,) * 5


async def test_given_solutions_count_among_the_completions_of_the_problem() -> None:
    world = World(length=3)
    await omega_prm([solution(0, 0, 0), solution(1, 0, 0)], world.states(4, reuse=False))
    assert world.asked[0] == ((), 2)
    enough = World(length=3)
    await omega_prm([solution(0, 0, 0), solution(1, 0, 0)], enough.states(2, reuse=False))
    assert () not in dict(enough.asked)


async def test_states_of_right_rollouts_cost_nothing_where_they_are_reused() -> None:
    world = World(length=8)
    wrong = solution(0, 0, 1, 0, 0, 0, 0, 0)
    found = await omega_prm([wrong], world.states(4))
    assert [(len(prefix), n) for prefix, n in world.asked] == [(0, 4), (5, 4), (3, 4)]
    (labelled,) = (one for one in found if one.solution == wrong)
    assert labelled.hard == (True, True, False) + (None,) * 5
    assert labelled.soft == (None, None, 0.0) + (None,) * 5


async def test_wrong_rollouts_are_further_material_and_every_label_is_true() -> None:
    world = World(length=8, slips=0.15)
    states = world.states(16, reuse=False, budget=2000)
    found = await omega_prm([], states)
    assert len(found) > 30
    right = sum(one.first_error == truth(one) for one in found)
    # A state near the end of a chain of eight steps is solved by one completion in four at the least.
    assert right >= 0.95 * len(found)
    assert len({one.solution.tokens for one in found}) == len(found)


async def test_the_tree_ends_when_nothing_is_left_to_search() -> None:
    world = World(length=3, slips=0.3)
    await omega_prm([], world.states(4, reuse=False))
    asked = [prefix for prefix, _ in world.asked]
    assert len(set(asked)) == len(asked)


async def test_soft_labels_are_those_of_the_states_that_were_asked() -> None:
    world = World(length=8, slips=0.1)
    states = world.states(16, reuse=False, budget=400)
    for one in await omega_prm([], states):
        last = len(one.solution.steps) if one.first_error is None else one.first_error + 1
        for steps, (hard, soft) in enumerate(zip(one.hard, one.soft, strict=True), 1):
            estimate = states.estimate(one.solution.prefix(steps))
            if steps == len(one.solution.steps):
                assert steps > last or (soft is not None and hard in (None, bool(soft)))
            else:
                assert soft == (estimate.share if estimate is not None and steps <= last else None)


async def test_problems_that_are_never_or_always_solved_have_no_errors_to_find() -> None:
    hopeless, easy = World(length=4, slips=1.0), World(length=4)
    assert await omega_prm([], hopeless.states(8)) == []
    (only,) = await omega_prm([], easy.states(8))
    assert only.hard == (True,) * 4
    assert len(hopeless.asked) == len(easy.asked) == 1


async def test_what_nobody_could_judge_is_no_material() -> None:
    world = World(length=4, slips=0.3, undecided=frozenset({()}))
    assert await omega_prm([], world.states(8)) == []


async def test_convincing_errors_are_searched_first() -> None:
    """Small alpha prefers rollouts of states that are mostly solved, which are the later ones of a tree."""

    async def order(priority: Priority) -> list[tuple[int, ...]]:
        found = await omega_prm([], World(length=6, slips=0.2).states(8, reuse=False), priority)
        return [one.solution.tokens for one in found]

    convincing = await order(Priority(alpha=1e-6, c_puct=0.0))
    assert convincing == await order(Priority(alpha=1e-6, c_puct=0.0))
    assert convincing != await order(Priority(alpha=1.0, beta=1.0, c_puct=0.0))


async def test_short_rollouts_are_searched_first() -> None:
    long, short = solution(0, 0, 0, 0, 0, 1), solution(0, 1)
    found = await omega_prm([long, short], World(length=6).states(4), Priority(beta=0.5, length_scale=1.0))
    assert [one.solution for one in found if not one.solution.right] == [short, long]


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 8),
    slips=st.floats(0, 0.6),
    completions=st.integers(1, 8),
    budget=st.integers(0, 120),
    reuse=st.booleans(),
    seed=st.integers(0, 1000),
)
async def test_invariants(length: int, slips: float, completions: int, budget: int, reuse: bool, seed: int) -> None:
    world = World(length=length, slips=slips)
    states = world.states(completions, budget=budget, reuse=reuse, seed=seed)
    found = await omega_prm([], states)
    assert states.completions == sum(n for _, n in world.asked) <= budget
    for one in found:
        error = one.first_error
        assert len(one.hard) == len(one.soft) == len(one.solution.steps)
        assert error is None or (all(one.hard[:error]) and set(one.hard[error + 1 :]) <= {None})
        # An error is never found after the true one: a wrong prefix is never completed to a right answer.
        if error is not None:
            true = truth(one)
            assert true is not None and error <= true
        if one.solution.right:
            assert all(one.hard)


@pytest.mark.parametrize("budget", [0, 7, 8, 30])
async def test_the_budget_is_kept(budget: int) -> None:
    world = World(length=8, slips=0.2)
    states = world.states(8, budget=budget)
    await omega_prm([], states)
    assert states.completions <= budget
