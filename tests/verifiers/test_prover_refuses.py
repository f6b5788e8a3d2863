"""What Coq must not take for a proof: each of these claims something false, or not what was asked."""

import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import md5

import pytest
import pytest_asyncio

from deliberate.verifiers.protocol import Candidate, Problem, Verdict
from deliberate.verifiers.prover import Prover, ProverVerifier
from deliberate.verifiers.sandbox.protocol import Job, Outcome
from deliberate.verifiers.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = Problem(({"role": "user", "content": "Prove that 0 = 1."},))
BY_FALSE = "Theorem answer : 0 = 1. Proof. destruct f. Qed."
HURKENS = "Require Import Coq.Logic.Hurkens."
PARADOX = "exact (TypeNeqSmallType.paradox Type eq_refl)"
BAD = "Inductive bad := B (g : bad -> False). Definition no (b : bad) := match b with B g => g b end. "
F = "Module Type F. Parameter f : False. End F. "
ENDLESS = "Fixpoint g (n : nat) : False := g n."
BY_MODULE = "Theorem answer : 0 = 1. Proof. destruct M.f. Qed."
SEALED, OPENED = f"{F}Module M : F. ", f"End M. {BY_MODULE}"
UNPROVED, UNFOUND, TYPE = (
    "not proved, or not by the rules: ",
    "The reference Task.Cand.answer was not found",
    "has type",
)

CLAIMS = {
    "Admitted": ("Theorem answer : 0 = 1. Proof. Admitted.", "'Task.Cand.answer'"),
    "Admitted alone": ("Admitted.", "'Task.Cand.answer'"),
    "admit": ("admit.", "Attempt to save a proof with given up goals"),
    "admit and Admitted": ("Theorem answer : 0 = 1. Proof. admit. Admitted.", UNPROVED),
    "the library's admit": ("Require Import Coq.Compat.AdmitAxiom. admit.", "it rests on 'AdmitAxiom.proof_admitted"),
    "Axiom": (f"Axiom f : False. {BY_FALSE}", "'Task.Cand.f'"),
    "Parameter": (f"Parameter f : False. {BY_FALSE}", "'Task.Cand.f'"),
    "Conjecture": (f"Conjecture f : False. {BY_FALSE}", "'Task.Cand.f'"),
    "Variable": (f"Variable f : False. {BY_FALSE}", "'Task.Cand.f'"),
    "Context": (f"Context (f : False). {BY_FALSE}", "'Task.Cand.f'"),
    "Hypothesis of a section": (f"Section S. Hypothesis f : False. {BY_FALSE} End S.", TYPE),
    "Context of a section": (f"Section S. Context (f : False). {BY_FALSE} End S.", TYPE),
    "a declared module": (f"{F}Declare Module M : F. {BY_MODULE}", "'Task.Cand.M.f'"),
    "an included signature": (f"{F}Include F. {BY_FALSE}", "'Task.Cand.f'"),
    "a functor": (f"{F}Module G (M : F). {BY_MODULE} End G.", UNFOUND),
    "a sealed module with an axiom": (f"{SEALED}Axiom f : False. {OPENED}", "'Task.Cand.M.f'"),
    "a sealed module with a lemma": (f"{SEALED}Lemma f : False. Admitted. {OPENED}", "'Task.Cand.M.f'"),
    "a sealed module with guard off": (
        f"{SEALED}Unset Guard Checking. {ENDLESS} Lemma f : False. exact (g 0). Qed. {OPENED}",
        "is assumed to be guarded",
    ),
    "a sealed module with positivity off": (
        f"{SEALED}Unset Positivity Checking. {BAD}Lemma f : False. exact (no (B no)). Qed. {OPENED}",
        "is assumed to be positive",
    ),
    "a sealed module with universes bypassed": (
        f"{HURKENS} {SEALED}#[bypass_check(universes)] Lemma f : False. {PARADOX}. Qed. {OPENED}",
        "relies on an unsafe hierarchy",
    ),
    "a functor of a declared module": (
        f"{F}Module G (X : F) : F. Definition f := X.f. End G. Declare Module N : F. Module M := G N. {BY_MODULE}",
        "'Task.Cand.M.f, Task.Cand.N.f'",
    ),
    "a nested lemma": (
        "Set Nested Proofs Allowed. Theorem answer : 0 = 1. Lemma f : False. Admitted. destruct f. Qed.",
        "'Task.Cand.f'",
    ),
    "guard off": (
        f"Unset Guard Checking. {ENDLESS} Definition f := g 0. {BY_FALSE}",
        UNPROVED,
    ),
    "guard off for all": (
        f"Global Unset Guard Checking. {ENDLESS} Definition f := g 0. {BY_FALSE}",
        UNPROVED,
    ),
    "guard bypassed": (
        f"#[bypass_check(guard)] {ENDLESS} Definition f := g 0. {BY_FALSE}",
        UNPROVED,
    ),
    "positivity off": (f"Unset Positivity Checking. {BAD} Definition f := no (B no). {BY_FALSE}", UNPROVED),
    "positivity bypassed": (f"#[bypass_check(positivity)] {BAD} Definition f := no (B no). {BY_FALSE}", UNPROVED),
    "universes off": (
        f"{HURKENS} Unset Universe Checking. Lemma f : False. {PARADOX}. Qed. {BY_FALSE}",
        UNPROVED,
    ),
    "universes bypassed": (
        f"{HURKENS} #[bypass_check(universes)] Lemma f : False. {PARADOX}. Qed. {BY_FALSE}",
        UNPROVED,
    ),
    "no check": ("exact_no_check I.", TYPE),
    "no check of a cast": ("vm_cast_no_check (@eq_refl nat 0).", TYPE),
    "no check of a change": ("change_no_check (0 = 0). reflexivity.", TYPE),
    "compiled computation": ("native_compute. reflexivity.", "Unable to unify"),
    "another statement": ("Theorem answer : 0 = 0. Proof. reflexivity. Qed.", TYPE),
    "another name": ("Theorem reply : 0 = 0. Proof. reflexivity. Qed.", UNFOUND),
    "a weaker statement": ("Theorem answer : 1 = 2 -> 0 = 1. Proof. discriminate. Qed.", TYPE),
    "nat shadowed": (
        'Inductive nat := O. Notation "0" := O. Notation "1" := O. Theorem answer : 0 = 1. reflexivity. Qed.',
        TYPE,
    ),
    "eq shadowed": (
        'Definition eq {A : Type} (a b : A) := True. Notation "a = b" := (eq a b) : type_scope.'
        " Theorem answer : 0 = 1. exact I. Qed.",
        TYPE,
    ),
    "a notation for the statement": ("Notation \"'zero'\" := 1. Theorem answer : zero = 1. reflexivity. Qed.", TYPE),
    "the goal shadowed": ("Definition the_goal := True. Theorem answer : the_goal. exact I. Qed.", TYPE),
    "the host's modules shadowed": (
        "Module Task. Module Goal. Definition the_goal := True. End Goal. End Task. Definition answer := I.",
        TYPE,
    ),
    "a coercion": ("Axiom f : True -> 0 = 1. Coercion f : True >-> eq. Definition answer := I.", TYPE),
    "an abbreviation": ("Module M. End M. Notation answer := I.", TYPE),
    "a program of another type": (
        "Require Import Program. Global Set Program Mode. Definition answer := I.",
        "",
    ),
    "a printed verdict": (f'Axiom f : False. Goal True. idtac "Closed under the global context". {BY_FALSE}', ""),
    "a tiny page": (
        f"Global Set Printing Depth 1. Global Set Printing Width 1. Axiom f : False. {BY_FALSE}",
        "'Task.Cand.f'",
    ),
    "output sent to files": (
        f'Redirect "Goal" Print nat. Redirect "Check" Print nat. Axiom f : False. {BY_FALSE}',
        "'Task.Cand.f'",
    ),
    "files written": (
        'Require Extraction. Extraction "Goal.vo" nat. Extraction "Cand.vo" nat. Theorem answer : 0 = 1. Admitted.',
        "'Task.Cand.answer'",
    ),
    "a compiler called": (
        'Require Extraction. Axiom x : nat. Extract Constant x => "failwith """"". Extraction TestCompile x.'
        " Theorem answer : 0 = 1. Admitted.",
        "Compilation of file",
    ),
    "files read": ('Load "/etc/passwd". Theorem answer : 0 = 1. Admitted.', "Can't find file"),
    "itself read": ('Load "Cand". Theorem answer : 0 = 1. Admitted.', "Too many open files"),
    "a plugin": ('Add ML Path ".". Declare ML Module "evil.plugin". Theorem answer : 0 = 1. Admitted.', "evil"),
    "Fail": ("Theorem answer : 0 = 1. Fail reflexivity. Fail Qed. Abort.", UNFOUND),
    "Abort": ("Abort.", UNFOUND),
    "no end of a proof": ("Theorem answer : 0 = 1. Proof.", "There are pending proofs"),
    "no end of a comment": ("Theorem answer : 0 = 1. (* ", "Unterminated comment"),
    "nothing": ("", "no proof found"),
    "a comment": ("(* By computation. *)", "Attempt to save an incomplete proof"),
    "bytes": ("\x00 \x1b[2J \ud800 auto.", ""),
    "much output": (f'do 200000 idtac "{"a" * 100}".', ""),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    await sandbox.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def verifier(sandbox: Sandbox) -> ProverVerifier:
    """Of one goal, which the prover reads once."""
    return ProverVerifier(Prover(goal="0 = 1"), sandbox)


async def judge(verifier: ProverVerifier, code: str) -> Verdict:
    [verdict] = await verifier.verify(PROBLEM, [Candidate(f"```coq\n{code}\n```")])
    return verdict


@pytest.mark.parametrize("claim", CLAIMS)
async def test_no_claim_is_a_proof(verifier: ProverVerifier, claim: str) -> None:
    code, reason = CLAIMS[claim]
    verdict = await judge(verifier, code)
    assert (verdict.status, verdict.score, verdict.passed) == ("ok", 0.0, False), verdict
    assert reason in verdict.reason
    assert len(verdict.reason) < 300


async def test_a_stronger_logic_is_told(sandbox: Sandbox) -> None:
    """Uniqueness of identity proofs holds in it and not in Coq's own."""
    goal = "forall (A : Type) (x : A) (p : x = x), p = eq_refl"
    code = f"""Set Definitional UIP.
        Inductive seq {{A : Type}} (a : A) : A -> SProp := srefl : seq a a.
        Definition there {{A : Type}} {{a b : A}} (p : a = b) : seq a b := match p with eq_refl => srefl a end.
        Definition back {{A : Type}} {{a b : A}} (q : seq a b) : a = b :=
          match q in seq _ b return a = b with srefl _ => eq_refl end.
        Lemma same {{A : Type}} {{a b : A}} (p : a = b) : back (there p) = p. Proof. destruct p. reflexivity. Qed.
        Theorem answer : {goal}. Proof. intros. rewrite <- (same p). reflexivity. Qed."""
    verdict = await judge(ProverVerifier(Prover(goal=goal), sandbox), code)
    assert (verdict.passed, verdict.reason) == (False, "it rests on 'Cand.seq relies on definitional UIP.'")


async def test_what_does_not_end_is_refused(sandbox: Sandbox) -> None:
    verdict = await judge(ProverVerifier(Prover(goal="0 = 1", timeout_s=3), sandbox), "let rec f x := f x in f 1.")
    assert (verdict.status, verdict.passed) == ("ok", False)
    # A busy machine looks at it later than after 3 s.
    assert re.fullmatch(r"no end after \d+ s", verdict.reason)


async def test_what_does_not_fit_is_refused(sandbox: Sandbox) -> None:
    code = "Definition x := Eval vm_compute in Nat.pow 10 9. Theorem answer : 0 = 1. Admitted."
    verdict = await judge(ProverVerifier(Prover(goal="0 = 1", memory_mb=512), sandbox), code)
    assert (verdict.status, verdict.passed) == ("ok", False)
    assert "memory" in verdict.reason


@dataclass
class Forger:
    """Boxes whose compiled candidates are what a broken Coq might have written."""

    sandbox: Sandbox
    forge: bool = True

    async def run(self, job: Job) -> Outcome:
        outcome = await self.sandbox.run(job)
        if not self.forge or "Cand.v" not in job.files:
            return outcome
        return replace(outcome, stdout=forged(outcome.stdout))


def forged(compiled: bytes) -> bytes:
    """`false`, the second constructor of bool, becomes `true`, the first; then the checksums are made right again."""
    place = compiled.index(b"@B", compiled.index(b"$bool"))
    changed = compiled[:place] + b"@A" + compiled[place + 2 :]
    summary = struct.unpack(">q", compiled[8:16])[0]
    place, segments = summary + 4, struct.unpack(">i", compiled[summary : summary + 4])[0]
    for _ in range(segments):
        place += 4 + struct.unpack(">i", compiled[place : place + 4])[0]
        start, length = struct.unpack(">qq", compiled[place : place + 16])
        old, new = (md5(data[start : start + length]).digest() for data in (compiled, changed))
        assert compiled[place + 16 : place + 32] == old
        changed = changed.replace(old, new)
        place += 32
    return changed


async def test_a_forged_compiled_file_is_found_out(sandbox: Sandbox) -> None:
    """Coq itself believes it, and calls it closed under the global context."""
    code = "Definition y := negb false. Definition answer : true = y := eq_refl."
    honest = ProverVerifier(Prover(goal="true = true"), Forger(sandbox, forge=False))
    assert (await judge(honest, code)).passed
    verdict = await judge(ProverVerifier(Prover(goal="true = false"), Forger(sandbox)), code)
    assert not verdict.passed
    assert verdict.reason.startswith("coqchk refuses the compiled proof: 'Closed under the global context")


async def test_a_compiled_file_of_noise_is_refused(sandbox: Sandbox) -> None:
    class Noise(Forger):
        async def run(self, job: Job) -> Outcome:
            outcome = await self.sandbox.run(job)
            return replace(outcome, stdout=outcome.stdout[::-1]) if "Cand.v" in job.files else outcome

    verdict = await judge(ProverVerifier(Prover(goal="1 = 1"), Noise(sandbox)), "auto.")
    assert (verdict.status, verdict.passed) == ("ok", False)
