/-
Whether a compiled candidate proves the host's goal, and by which axioms.

Nothing of the candidate runs here: its compiled file is read as data, and the kernel takes each of its constants anew,
after the goal and all that both import. Then it takes the goal by the candidate's theorem.
-/
import Lean.Replay

open Lean

-- A message would stand in the output before the verdict.
set_option linter.all false
set_option linter.deprecated false

def accepted : Name := `Host.accepted

def refuse {α : Type} (why : String) : IO α :=
  throw <| IO.userError why

def usedBy (info : ConstantInfo) : Array Name :=
  match info with
  | .defnInfo value => value.value.getUsedConstants
  | .thmInfo value => value.value.getUsedConstants
  | .opaqueInfo value => value.value.getUsedConstants
  | .inductInfo value => value.ctors.toArray
  | _ => #[]

def axiomsOf (env : Environment) (root : Name) : Array Name := Id.run do
  let mut seen : NameSet := {}
  let mut found : Array Name := #[]
  let mut pending := #[root]
  while !pending.isEmpty do
    let name := pending.back!
    pending := pending.pop
    if seen.contains name then
      continue
    seen := seen.insert name
    let some info := env.find? name
      | found := found.push name
        continue
    if let .axiomInfo _ := info then
      found := found.push name
    pending := pending ++ info.type.getUsedConstants ++ usedBy info
  return found

def main (arguments : List String) : IO UInt32 := do
  let [name] := arguments | refuse "the name of one theorem is expected"
  let theoremName := name.toName
  initSearchPath (← findSysroot) ["."]
  let (candidate, _) ← readModuleData "Cand.olean"
  let imports := #[{ module := `Goal : Import }] ++ candidate.imports
  let before ← importModules imports {}
  let some goal := before.find? `Host.goal | refuse "there is no goal"
  let mut constants := {}
  for constant in candidate.constants do
    if before.contains constant.name then
      refuse s!"{constant.name} is declared a second time"
    constants := constants.insert constant.name constant
  if constants.contains accepted then
    refuse s!"{accepted} is the host's"
  unless constants.contains theoremName do
    refuse s!"there is no {theoremName}"
  let levels := goal.levelParams.map Level.param
  let proof : TheoremVal := {
    name := accepted
    levelParams := goal.levelParams
    type := mkConst `Host.goal levels
    value := mkConst theoremName levels
  }
  let after ← before.replay (constants.insert accepted (.thmInfo proof))
  IO.println s!"accepted, by {" ".intercalate ((axiomsOf after accepted).toList.map toString)}"
  return 0
