"""Math-Shepherd's labels, of completers whose chances are known."""

from hypothesis import given
from hypothesis import strategies as st

from deliberate.training.labelling.completions import Completion, Estimate
from deliberate.training.labelling.monte_carlo import monte_carlo
from tests.training.labelling.worlds import World, solution


async def test_each_step_but_the_last_is_completed_and_the_last_is_its_own_label() -> None:
    world = World(length=5)
    (labelled,) = await monte_carlo([solution(0, 0, 1, 0, 0)], world.states(4))
    assert labelled.hard == (True, True, False, False, False)
    assert labelled.soft == (1.0, 1.0, 0.0, 0.0, 0.0)
    assert labelled.first_error == 2
    assert world.asked == [((0,) * n if n < 3 else (0, 0, 1, 0)[:n], 4) for n in range(1, 5)]


async def test_the_soft_label_is_the_share_of_right_completions() -> None:
    """A completer that errs in a fifth of the steps solves four further steps with 0.8 to the 4th."""
    world = World(length=5, slips=0.2)
    (labelled,) = await monte_carlo([solution(0, 0, 0, 0, 0)], world.states(2000))
    for steps, share in enumerate(labelled.soft[:-1], 1):
        assert share is not None and abs(share - 0.8 ** (5 - steps)) < 0.04
    assert labelled.soft[-1] == 1.0
    assert labelled.hard == (True,) * 5


async def test_solutions_share_the_completions_of_their_common_beginning() -> None:
    world = World(length=4)
    states = world.states(3)
    right, wrong = await monte_carlo([solution(0, 0, 0, 0), solution(0, 0, 2, 0)], states)
    assert states.completions == 3 * 4
    assert (right.first_error, wrong.first_error) == (None, 2)


async def test_what_nobody_could_judge_is_no_label() -> None:
    world = World(length=3, undecided=frozenset({(0,)}))
    (labelled,) = await monte_carlo([solution(0, 0, 0)], world.states(4))
    assert labelled.hard == (None, True, True)
    assert labelled.soft == (None, 1.0, 1.0)


async def test_a_solution_that_was_cut_has_its_last_step_completed_too() -> None:
    world = World(length=3)
    (labelled,) = await monte_carlo([solution(0, 1, finished=False)], world.states(2))
    assert [prefix for prefix, _ in world.asked] == [(0,), (0, 1)]
    assert labelled.hard == (True, False)


@given(st.lists(st.sampled_from([True, False, None]), max_size=20))
def test_undecided_completions_change_no_estimate(rights: list[bool | None]) -> None:
    decided = [right for right in rights if right is not None]
    estimate = Estimate.of(Completion((), right) for right in rights)
    assert estimate == Estimate.of(Completion((), right) for right in decided)
    assert estimate.reachable == (any(decided) if decided else None)
    assert estimate.share == (sum(decided) / len(decided) if decided else None)
