"""Proofs that Coq accepts, beginnings of proofs, and what cannot be decided, all with the real Coq in real boxes."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.deliberation import prepare
from deliberate.search.log import Log
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict
from deliberate.verifiers.prover import Prover
from deliberate.verifiers.provers.blocks import script_in
from deliberate.verifiers.provers.coq_sentences import write
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMUTES = "forall n m : nat, n + m = m + n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proving(workers: WorkerPool) -> AsyncIterator[Resources]:
    sandbox = Sandbox()
    yield Resources(workers, {}, sandbox=sandbox)
    await sandbox.close()


async def judge(
    resources: Resources, goal: str, texts: Sequence[str], finished: bool = True, **options: Any
) -> list[Verdict]:
    verifier = parse_verifier({"kind": "prover", "goal": goal, **options}).build(resources)
    problem = Problem(({"role": "user", "content": f"Prove {goal}."},))
    return await verifier.verify(problem, [Candidate(text, finished=finished) for text in texts])


TACTICS = "intros n m. induction n; simpl.\n- auto.\n- rewrite IHn. auto."
WAYS_TO_PROVE = {
    "tactics": TACTICS,
    "tactics with Proof and Qed": f"Proof.\n{TACTICS}\nQed.",
    "tactics after a library": "From Coq Require Import Lia.\nintros. lia.",
    "a theorem of that name": "Require Import Arith.\n\nTheorem answer : forall n m, n + m = m + n.\n"
    "Proof.\n  (* From the library. *)\n  exact Nat.add_comm.\nQed.",
    "a definition": "Require Import PeanoNat.\nDefinition answer : forall a b, a + b = b + a := Nat.add_comm.",
    "a proof term": "Require Import PeanoNat.\nProof Nat.add_comm.",
    "a helper first": "Lemma zero : forall n, n + 0 = n.\nProof. induction n; simpl; congruence. Qed.\n"
    "Lemma succ n m : n + S m = S (n + m).\nProof. induction n; simpl; congruence. Qed.\n"
    "#[local] Theorem answer n m : n + m = m + n.\n"
    "Proof. induction n; simpl. now rewrite zero. now rewrite succ, IHn. Qed.",
    "ssreflect": "From Coq Require Import ssreflect PeanoNat.\nmove=> n m; by rewrite Nat.add_comm.",
    "a tactic of its own": 'Require Import Arith.\nLtac finish := intros; apply Nat.add_comm.\nidtac "a. b". finish.',
    "braces": "intros n m. induction n. { simpl. auto. } { simpl. rewrite IHn. auto. }",
    "Defined": f"Proof. {TACTICS} Defined.",
}


async def test_proofs_are_accepted_however_they_are_written(proving: Resources) -> None:
    verdicts = await judge(proving, COMMUTES, [f"So:\n```coq\n{proof}\n```\nDone." for proof in WAYS_TO_PROVE.values()])
    assert {
        way: verdict.reason for way, verdict in zip(WAYS_TO_PROVE, verdicts, strict=True) if not verdict.passed
    } == {}
    assert {verdict.score for verdict in verdicts} == {1.0}


async def test_where_the_proof_is_in_a_reply(proving: Resources) -> None:
    wrong = "```coq\nreflexivity.\n```"
    right = f"```coq\n{TACTICS}\n```"
    verdicts = await judge(
        proving,
        COMMUTES,
        [
            TACTICS,
            f"{wrong}\nNo, better:\n{right}",
            f"{right}\nNo, better:\n{wrong}",
            f"<think>{wrong}</think>\n{right}",
            f"```\n{TACTICS}\n```",
            f"{right}\n```python\nprint(1)\n```",
            f"```coq\n{TACTICS}",
            f"~~~~ rocq\n{TACTICS}\n~~~~",
            "```python\nprint(1)\n```",
            "",
        ],
    )
    assert [verdict.passed for verdict in verdicts] == [True, True, False, True, True, True, True, True, False, False]
    assert verdicts[-1].reason == "no proof found"


async def test_a_goal_about_things_of_its_own(proving: Resources) -> None:
    options: dict[str, Any] = {
        "imports": "Require Import List.\nImport ListNotations.\nOpen Scope list_scope.",
        "definitions": "Inductive tree := leaf | node (l r : tree).\n"
        "Fixpoint leaves t := match t with leaf => [leaf] | node l r => leaves l ++ leaves r end.\n"
        "Fixpoint mirror t := match t with leaf => leaf | node l r => node (mirror r) (mirror l) end.\n"
        'Notation "# t" := (length (leaves t)) (at level 9).',
        "name": "mirror_keeps'",
    }
    proof = "induction t; simpl; auto. rewrite !app_length, IHt1, IHt2. apply PeanoNat.Nat.add_comm."
    whole = f"{options['imports']}\n{options['definitions']}\nTheorem mirror_keeps' : "
    whole += f"forall t, # (mirror t) = # t.\nProof. {proof} Qed."
    anew = "Inductive tree := leaf.\nTheorem mirror_keeps' : forall t : tree, t = t.\nProof. reflexivity. Qed."
    verdicts = await judge(proving, "forall t, # (mirror t) = # t.", [proof, whole, anew], **options)
    assert [verdict.passed for verdict in verdicts] == [True, True, False], verdicts


async def test_axioms_count_only_where_they_are_allowed_or_given(proving: Resources) -> None:
    goal = "forall P : Prop, P \\/ ~ P"
    proof = ["Require Import Classical.\nexact classic."]
    [refused] = await judge(proving, goal, proof)
    assert (refused.score, refused.passed, refused.reason) == (0.0, False, "it rests on 'Classical_Prop.classic'")
    for name in ("classic", "Classical_Prop.classic", "Coq.Logic.Classical_Prop.classic"):
        [allowed] = await judge(proving, goal, proof, axioms=[name])
        assert allowed.passed, allowed
    [other] = await judge(proving, goal, proof, axioms=["assic", "Other.classic"])
    assert not other.passed
    given = "Parameter f : nat -> nat.\nAxiom f_grows : forall n, n < f n."
    [by_given] = await judge(proving, "exists n, 0 < n", ["exists (f 0). apply f_grows."], definitions=given)
    assert by_given.passed, by_given


async def test_a_goal_that_asks_for_a_thing(proving: Resources) -> None:
    verdicts = await judge(proving, "{ n : nat | n * n = 49 }", ["exists 7. reflexivity.", "exists 8. reflexivity."])
    assert [verdict.passed for verdict in verdicts] == [True, False]


async def test_a_beginning_scores_by_the_goals_it_leaves(proving: Resources) -> None:
    beginnings = {
        "intros n m.\n": (0.5, (1.0,)),
        "intros n m. induction n.\n": (1 / 3, (1.0, 1.0)),
        "intros n m. induction n.\n- auto.\n- simp": (0.5, (1.0, 1.0, 1.0)),
        "intros n m. induction n.\n- auto.\n- lia.\n": (0.0, (1.0, 1.0, 1.0, 0.0)),
        "intros n m. induction n.\n- auto.\n- lia.\n auto.\n": (0.0, (1.0, 1.0, 1.0, 0.0)),
        "intros. admit.\n": (0.0, (1.0, 1.0)),
        f"{TACTICS}\n": (1.0, (1.0,) * 5),
        f"Theorem answer : {COMMUTES}.\nProof.\n": (0.5, (1.0, 1.0)),
        f"Theorem answer : {COMMUTES}.\nProof.\n{TACTICS}\n": (1.0, (1.0,) * 7),
        f"Theorem answer : {COMMUTES}.\nProof.\n{TACTICS}\nQed.\nLemma more : 1 = 1.\n": (0.5, (1.0,) * 9),
        "Lemma zero n : n + 0 = n. induction n; simpl.\n": (0.25, (1.0, 1.0)),
        "Lemma zero : 0 = 0. auto. Qed.\n": (0.5, (1.0, 1.0, 1.0)),
        "Theorem answer : 0 = 0. auto. Qed.\n": (0.0, (1.0, 1.0, 1.0)),
        "": (0.5, ()),
    }
    verdicts = await judge(proving, COMMUTES, [f"```coq\n{code}" for code in beginnings], finished=False)
    found = {code: (verdict.score, verdict.steps) for code, verdict in zip(beginnings, verdicts, strict=True)}
    assert found == {code: (pytest.approx(score), steps) for code, (score, steps) in beginnings.items()}
    [verdict] = await judge(proving, COMMUTES, ["induction n.\n"], finished=False, partial="no_error")
    assert (verdict.score, verdict.passed, verdict.reason) == (0.5, None, "2 goals left")


async def test_words_before_a_proof_are_neither_right_nor_wrong(proving: Resources) -> None:
    texts = ["Let me think.\n\n", "By induction. Here it is:\n\n", "<think>```coq\nintros.\n", ""]
    verdicts = await judge(proving, COMMUTES, texts, finished=False)
    assert [(verdict.status, verdict.reason) for verdict in verdicts] == [("unavailable", "no proof has begun")] * 4
    [wrong] = await judge(proving, COMMUTES, ["apply nothing. auto.\n\n"], finished=False)
    assert (wrong.score, wrong.steps) == (0.0, (0.0,))


async def test_errors_are_found_in_the_right_sentence(proving: Resources) -> None:
    code = '(* é. "*)." (* 漢 *) *) intros n m.\n  idtac "ü. x".\n  idtac "漢字漢字漢字". foo. auto.'
    [verdict] = await judge(proving, COMMUTES, [code])
    assert verdict.steps == (1.0, 1.0, 1.0, 0.0)
    assert verdict.reason.startswith("sentence 4: 'The reference foo was not found")


async def test_beam_search_finds_a_proof_by_its_judgements(proving: Resources) -> None:
    """Only chains without an error, and with few goals left, are followed: the one way through is found."""
    following = {
        "": ["reflexivity.", "intros n. induction n.", "intros n.", "apply nothing."],
        "intros n.\n": ["lia.", "induction n."],
        "intros n. induction n.\n": ["- simpl. auto.", "- auto. auto."],
        "intros n.\ninduction n.\n": ["- discriminate.", "- reflexivity."],
        "intros n.\ninduction n.\n- reflexivity.\n": ["- reflexivity.", "- simpl. rewrite IHn. reflexivity."],
        "intros n. induction n.\n- simpl. auto.\n": ["- foo.", "- bar."],
    }
    turns = dict.fromkeys(following, 0)

    def script(prompt: str, number: int) -> Reply:
        chain = prompt.partition("assistant: ")[2]
        if chain not in following:
            return Reply("")
        turns[chain] += 1
        return Reply(following[chain][turns[chain] % len(following[chain])] + "\n")

    engine = ScriptedEngine(script)
    resources = replace(proving, engines={"policy": engine}, policy="policy")
    search = prepare(
        BeamSearch(width=2, expansions=2, step_separator="\n", pick="score"),
        Conversation(({"role": "user", "content": "Prove it."},)),
        Sampling(),
        resources,
        default_verifier=Prover(goal="forall n : nat, n + 0 = n"),
    )
    log = Log()
    async with aclosing(search.events()) as events:
        async for event in events:
            log.add(event)
    assert (
        log.sample(log.chosen.choices[0].index).text
        == "intros n.\ninduction n.\n- reflexivity.\n- simpl. rewrite IHn. reflexivity.\n"
    )


async def test_equal_proofs_are_run_once_and_verdicts_stand_in_order(proving: Resources) -> None:
    verdicts = await judge(proving, "1 + 1 = 2", ["auto.", "discriminate.", "auto.", "split."])
    assert [verdict.passed for verdict in verdicts] == [True, False, True, True]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"goal": "forall n : nut, n = n"}, "Coq does not accept the goal itself: 'The reference nut was not found"),
        ({"goal": "1 + 1"}, "Coq does not accept the goal itself: "),
        ({"goal": "1 = 1", "imports": "Require Import Nowhere."}, "Coq does not accept the goal itself: "),
        ({"goal": "1 = 1", "name": "forall"}, "Coq does not accept the goal itself: "),
    ],
)
async def test_a_goal_that_is_none_says_nothing_of_candidates(
    proving: Resources, options: dict[str, Any], reason: str
) -> None:
    [verdict] = await judge(proving, texts=["auto."], **options)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    assert verdict.reason.startswith(reason)


async def test_a_goal_without_end_says_nothing_of_candidates(proving: Resources) -> None:
    endless = "Goal True. repeat (assert True by exact I). Qed."
    started = time.perf_counter()
    verdicts = await judge(proving, "1 = 1", ["auto.", "split.", "eauto."], definitions=endless, timeout_s=4)
    told = ("timeout", "Coq did not read the goal in 4 s")
    assert [(verdict.status, verdict.reason) for verdict in verdicts] == [told] * 3
    assert time.perf_counter() - started < 3 * 4  # It is read once for all of them.


async def test_without_coq_nothing_is_decided(
    proving: Resources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdicts = await judge(proving, "1 = 1", ["auto.", "discriminate."])
    told = ("unavailable", "coqc is not installed (Debian package: coq)")
    assert [(verdict.status, verdict.reason) for verdict in verdicts] == [told] * 2


async def test_without_a_sandbox_nothing_is_decided(workers: WorkerPool) -> None:
    [verdict] = await judge(Resources(workers, {}), "1 = 1", ["auto."])
    assert (verdict.status, verdict.reason) == ("unavailable", "provers run in the sandbox, and there is none here")


async def test_hostile_texts_are_read_in_no_time() -> None:
    long = 100_000
    texts = [
        "``` " + "a" * long + "`",
        "`" * long,
        "(*" * long,
        '"' * long + "(*",
        "Local " * long,
        "#[" * long,
        "@[\n" * long,
    ]
    started = time.perf_counter()
    for text in texts:
        code = script_in(f"```coq\n{text}", True, ("coq",)).code + script_in(text, True, ("coq",)).code
        write("", "Theorem answer : True.", "answer", code, finished=True)
    assert time.perf_counter() - started < 5


async def test_coq_judges_steps(proving: Resources) -> None:
    assert Prover(goal="1 = 1").build(proving).judges == Judges.STEPS
