"""Prompts for three.js pages: objects, what they do, light, and what the mouse does, composed at random.

There are no reference solutions. Pages are graded by the composite of docs/three-js.md, fitted to the prompt: a scene
that should move or answer must. Its parts that ask a model, or only read the source for variety, are left out; a recipe
that has a judge adds it. The splits are disjoint by construction: by a hash of the objects, and by a hash of all that
is said of them.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from deliberate.training.tasks._division import digest, division
from deliberate.training.tasks._protocol import Problem, Split, stream, user

DIFFICULTIES = range(1, 5)
_COLORS = ("red", "green", "blue", "golden", "silver", "white", "purple", "orange", "turquoise", "pink")
_OBJECTS: Mapping[str, str] = {
    "cube": "BoxGeometry",
    "sphere": "SphereGeometry",
    "cone": "ConeGeometry",
    "cylinder": "CylinderGeometry",
    "torus": "TorusGeometry",
    "torus knot": "TorusKnotGeometry",
    "icosahedron": "IcosahedronGeometry",
    "octahedron": "OctahedronGeometry",
    "dodecahedron": "DodecahedronGeometry",
    "ring": "RingGeometry",
    "plane": "PlaneGeometry",
    "capsule": "CapsuleGeometry",
}
"""Words for shapes, and the names that three.js has for them."""
_MOTIONS = (
    "turns slowly",
    "spins fast",
    "bounces up and down",
    "grows and shrinks",
    "moves in a circle",
    "swings from side to side",
    "changes its color over time",
    "stands still",
)
_STILL = _MOTIONS[-1]
_LIGHTS: Mapping[str, str] = {
    "A point light shines from above.": "PointLight",
    "Sunlight comes from the left.": "DirectionalLight",
    "A spot light follows the scene's middle.": "SpotLight",
    "Soft light comes from everywhere.": "AmbientLight",
    "The sky lights the scene, and the ground reflects it.": "HemisphereLight",
    "Shadows fall on a floor.": "DirectionalLight castShadow",
}
_INTERACTIONS: Mapping[str, str] = {
    "": "",
    "The mouse turns the camera.": "OrbitControls",
    "The wheel zooms.": "OrbitControls",
    "Arrow keys move the camera.": "keydown",
    "Dragging turns the objects.": "pointermove",
}
_EXTRAS: Mapping[str, str] = {
    "": "",
    "Put fog in the distance.": "Fog",
    "Add a field of stars.": "Points",
    "Let the background be dark.": "background",
    "Lay a grid on the ground.": "GridHelper",
}
_ORDERS = (
    "Make a three.js page with {scene}.",
    "Write an HTML page showing {scene} with three.js.",
    "Use three.js to draw {scene}.",
    "I want to see {scene} in the browser, in three.js.",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page should show."""

    objects: tuple[str, ...]
    colors: tuple[str, ...]
    motions: tuple[str, ...]
    """Of each object, as colors are."""
    light: str
    interaction: str
    """Empty where none is wanted."""
    extra: str

    @property
    def split(self) -> Split | None:
        """Where it belongs; None where objects and the rest disagree."""
        return division(
            objects=self.objects, manner=(*self.colors, *self.motions, self.light, self.interaction, self.extra)
        )

    @property
    def moves(self) -> bool:
        return any(motion != _STILL for motion in self.motions)

    def told(self, order: str) -> str:
        things = [
            f"a {color} {name} that {motion}"
            for color, name, motion in zip(self.colors, self.objects, self.motions, strict=True)
        ]
        listed = " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))
        listed = listed.replace("a orange", "an orange")
        return " ".join(filter(None, [order.format(scene=listed), self.light, self.interaction, self.extra]))

    @property
    def vocabulary(self) -> str:
        """Names that a page of it would hold."""
        shapes = [_OBJECTS[name] for name in self.objects]
        known = [_LIGHTS[self.light], _INTERACTIONS[self.interaction], _EXTRAS[self.extra]]
        return " ".join(filter(None, ["scene camera renderer mesh animate resize", *shapes, *known]))

    def verifier(self) -> dict[str, Any]:
        """The composite reward of a page."""
        parts = {"animation": 2 if self.moves else 0, "interaction": 1 if self.interaction else 0}
        wanted = [part for part, weight in parts.items() if weight]
        render = {"kind": "render", "weight": 6, "parts": parts, "required": [*_REQUIRED, *wanted]}
        words = {"kind": "rouge", "reference": self.vocabulary}
        return {"kind": "ensemble", "complete": True, "members": [render, *_OTHERS, words]}


_REQUIRED = ("syntax", "errors", "drawing", "picture")
_OTHERS = (
    {"kind": "format", "tags": ["think"], "text_outside": True, "credit": "share"},
    {"kind": "length", "minimum": 5, "maximum": 400, "slack": 400, "unit": "words", "part": "reply"},
)


def _scene(rng: random.Random, objects: int) -> Scene:
    return Scene(
        tuple(rng.sample(list(_OBJECTS), objects)),
        tuple(rng.choice(_COLORS) for _ in range(objects)),
        tuple(rng.choice(_MOTIONS) for _ in range(objects)),
        rng.choice(list(_LIGHTS)),
        rng.choice(list(_INTERACTIONS)),
        rng.choice(list(_EXTRAS)),
    )


def _problem(rng: random.Random, split: Split, objects: int) -> Problem:
    scene = next(s for s in (_scene(rng, objects) for _ in count()) if s.split == split)
    question = scene.told(rng.choice(_ORDERS))
    return Problem(
        id=f"three_js-{digest(question)}",
        messages=user(question),
        verifier=scene.verifier(),
        difficulty=objects,
        split=split,
    )


class ThreeJs:
    """Scenes of 1 to 4 objects."""

    name = "three_js"
    difficulties = DIFFICULTIES
    system_prompts = ("You are a helpful assistant.", "Think in <think> tags, then write one complete HTML page.")

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        return stream(self, _problem, split, seed, limit, difficulty, "objects")


TASK = ThreeJs()
