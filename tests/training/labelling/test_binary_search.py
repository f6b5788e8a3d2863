"""The first error by bisection."""

from dataclasses import replace
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from deliberate.training.labelling.binary_search import binary_search, narrowed
from deliberate.training.labelling.monte_carlo import monte_carlo
from tests.training.labelling.worlds import World, solution


@given(st.integers(1, 200), st.data())
async def test_it_finds_any_error_with_the_logarithm_of_the_steps(steps: int, data: st.DataObject) -> None:
    error = data.draw(st.integers(1, steps))
    asked = list[int]()

    async def is_right(count: int) -> bool:
        asked.append(count)
        return count < error

    assert await narrowed(0, steps, is_right) == (error - 1, error)
    assert len(asked) <= ceil(log2(steps)) and len(set(asked)) == len(asked)


@given(st.integers(1, 30), st.data())
async def test_where_some_cannot_be_decided_it_never_errs(steps: int, data: st.DataObject) -> None:
    error = data.draw(st.integers(1, steps))
    unknown = data.draw(st.sets(st.integers(1, steps)))

    async def is_right(count: int) -> bool | None:
        return None if count in unknown else count < error

    low, high = await narrowed(0, steps, is_right)
    assert low < error <= high
    assert set(range(low + 1, high)) <= unknown


async def test_labels_and_cost() -> None:
    world = World(length=8)
    states = world.states(4, until_right=True)
    (labelled,) = await binary_search([solution(0, 0, 0, 0, 0, 2, 0, 0)], states)
    assert labelled.hard == (True,) * 5 + (False, None, None)
    assert labelled.first_error == 5
    # From step 4 the first completion is right, and passes through step 5; from step 6 none of four is.
    assert [(len(prefix), n) for prefix, n in world.asked] == [(4, 1), (6, 1), (6, 1), (6, 2)]
    assert states.completions == 5


async def test_a_right_solution_costs_nothing() -> None:
    world = World(length=4)
    (labelled,) = await binary_search([solution(0, 0, 0, 0)], world.states(4, until_right=True))
    assert labelled.hard == (True,) * 4
    assert not world.asked


async def test_a_right_answer_that_hides_an_error_is_seen_through_where_it_is_checked() -> None:
    sound, lucky = solution(0, 0, 0, 0), solution(0, 1, 0, 0, right=True)
    trusted = await binary_search([lucky, sound], World(length=4).states(4, until_right=True))
    assert [one.first_error for one in trusted] == [None, None]
    world = World(length=4)
    states = world.states(4, until_right=True, check_right=True)
    checked = await binary_search([lucky, sound], states)
    assert [one.hard for one in checked] == [(True, False, None, None), (True,) * 4]
    # Four from the second step, one from the first, whose right completion is the sound solution.
    assert [(prefix, n) for prefix, n in world.asked] == [((0, 1), 1), ((0, 1), 1), ((0, 1), 2), ((0,), 1)]


async def test_beginnings_of_right_solutions_are_known_to_be_right() -> None:
    world = World(length=4)
    wrong, _ = await binary_search([solution(0, 0, 0, 1), solution(0, 0, 0, 0)], world.states(4, until_right=True))
    assert wrong.hard == (True, True, True, False)
    assert not world.asked


async def test_completions_until_one_is_right_judge_a_state_as_all_of_them_do() -> None:
    """With the same seeds the first right completion is one of all; only the cost differs."""
    prefixes = [(), (0,), (0, 0, 0), (0, 1), (0, 0, 0, 0, 0)]
    world = World(length=6, slips=0.4)
    for seed in range(50):
        for prefix in prefixes:
            few, all_ = (world.states(8, until_right=until, seed=seed) for until in (True, False))
            assert await few.is_right(prefix) == await all_.is_right(prefix)
            assert few.completions <= all_.completions == 8
            assert few.share(prefix) is None


async def test_where_the_problem_is_never_solved_nothing_is_labelled() -> None:
    world = World(length=4, slips=1.0)
    (labelled,) = await binary_search([solution(0, 0, 1, 0)], world.states(4, until_right=True))
    assert labelled.hard == (None,) * 4
    assert world.asked[-3:] == [((), 1), ((), 1), ((), 2)]


async def test_an_error_in_the_first_step_is_found_where_the_problem_is_solved() -> None:
    (labelled,) = await binary_search([solution(1, 0, 0, 0)], World(length=4).states(4, until_right=True))
    assert labelled.hard == (False, None, None, None)


async def test_a_solution_that_nobody_judged_is_right_as_far_as_it_is_known() -> None:
    undecided = replace(solution(0, 0, 0, 0), right=None)
    (labelled,) = await binary_search([undecided], World(length=3).states(4, until_right=True))
    assert labelled.hard == (True, True, True, None)


async def test_a_solution_that_was_cut_may_hold_no_error() -> None:
    sound, unsound = solution(0, 0, finished=False), solution(0, 1, finished=False)
    labelled = await binary_search([sound, unsound], World(length=4).states(4, until_right=True))
    assert [one.hard for one in labelled] == [(True, True), (True, False)]


async def test_a_reliable_completer_finds_what_exhaustive_monte_carlo_finds_for_less() -> None:
    solutions = [solution(*(0,) * error, 1, *(0,) * (11 - error)) for error in range(12)]
    cheap, dear = World(length=12, slips=0.02), World(length=12, slips=0.02)
    few, many = cheap.states(8, until_right=True), dear.states(8)
    found = [one.first_error for each in solutions for one in await binary_search([each], few)]
    expected = [one.first_error for each in solutions for one in await monte_carlo([each], many)]
    assert found == expected == list(range(12))
    assert few.completions < many.completions / 3
