"""The first error step by step: Monte-Carlo's hard labels for less."""

from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.training.labelling.binary_search import binary_search
from deliberate.training.labelling.labels import Labelled
from deliberate.training.labelling.monte_carlo import monte_carlo
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import States
from tests.training.labelling.worlds import World, solution


async def sequential(whole: Solution, states: States) -> Labelled:
    (labelled,) = await binary_search([whole], states, bisect=False)
    return labelled


def states_of(world: World, completions: int, seed: int = 0) -> States:
    return world.states(completions, until_right=True, reuse=False, check_right=True, seed=seed)


async def test_it_asks_up_to_the_first_error_only() -> None:
    world = World(length=5)
    labelled = await sequential(solution(0, 0, 1, 0, 0), states_of(world, 4))
    assert labelled.hard == (True, True, False, None, None)
    assert [(len(prefix), n) for prefix, n in world.asked] == [(1, 1), (2, 1), (3, 1), (3, 1), (3, 2)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([0, 0, 0, 1]), min_size=1, max_size=6),
    slips=st.floats(0, 0.5),
    right=st.sampled_from([None, True]),
    lucky=st.integers(0, 6),
    seed=st.integers(0, 1000),
)
async def test_up_to_the_first_error_labels_are_those_of_monte_carlo(
    steps: list[int], slips: float, right: bool | None, lucky: int, seed: int
) -> None:
    """Also where a later step makes an error good, and where a right answer hides one."""
    whole = solution(*steps, right=right)
    made_good = frozenset({whole.prefix(lucky)} if lucky <= len(steps) else ())
    cheap, dear = (World(length=6, slips=slips, lucky=made_good) for _ in range(2))
    (expected,) = await monte_carlo([whole], dear.states(4, seed=seed))
    states = states_of(cheap, 4, seed)
    found = await sequential(whole, states)
    error = expected.first_error
    told = len(steps) if error is None else error + 1
    if any(label is not None for label in found.hard):
        assert found.hard == expected.hard[:told] + (None,) * (len(steps) - told)
    else:
        assert error == 0 and not await states.is_right(())


async def test_what_nobody_could_judge_leaves_the_first_error_open() -> None:
    """The step after it is wrong, but so may be that step itself."""
    world = World(length=3, undecided=frozenset({(0, 0)}))
    labelled = await sequential(solution(0, 0, 1), states_of(world, 2))
    assert labelled.hard == (True, None, None)
