"""Conditions: from nested declarations to flat names with rules, and from rules to columns and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebook.errors import Problem, shown
from tunebook.space import rules
from tunebook.space.parameter import Choice, Nested, Parameter, Value, key

Conditions = Mapping[str, Mapping[str, Sequence[Value]]]
Rule = dict[str, tuple[Value, ...]]
Mask = npt.NDArray[np.bool_]


def flatten(
    parameters: Any, named: Mapping[str, Any], conditions: Any
) -> tuple[dict[Any, Any], dict[str, Rule], list[Problem]]:
    """Nested spaces as flat names, each with a rule on the choice above it; and what is wrong with the arguments."""
    flat: dict[Any, Any] = {}
    when, found = _rules(conditions)
    if parameters is not None and not isinstance(parameters, Mapping):
        found.append(rules.problem(19, "Space", "the parameters are not a mapping", shown(parameters),
                                   "{name: parameter}", "Space(lr=Float(...))"))  # fmt: skip
        parameters = {}

    def put(name: Any, item: Any) -> None:
        if name in flat:
            got = f"{shown(flat[name])} and {shown(item)}"
            found.append(rules.problem(27, name, "two hyperparameters have one name", got, "each once", "rename one"))
        flat[name] = item

    for name, item in [*(parameters or {}).items(), *named.items()]:
        below = item.options if isinstance(item, Choice) else None
        if not isinstance(below, Mapping) or not below or not all(isinstance(s, Nested) for s in below.values()):
            put(name, item)
            continue
        labels = tuple(below)
        put(name, labels[0] if len(labels) == 1 else Choice(labels, item.ordered, item.default, item.likely))
        for label, space in below.items():
            head = f"{name}.{label}."
            for inner, it in space._items.items():
                put(head + inner, it)
                own = {head + p: tuple(ok) for p, ok in space.conditions.get(inner, {}).items()}
                when[head + inner] = both(when.get(head + inner, {}), both(own, {name: (label,)}))
    return flat, when, found


def _rules(conditions: Any) -> tuple[dict[str, Rule], list[Problem]]:
    """Conditions as people give them, a value or a list of values for each parent, as tuples."""
    when: dict[str, Rule] = {}
    found: list[Problem] = []
    if conditions is not None and not isinstance(conditions, Mapping):
        conditions, told = {}, conditions
        found.append(_shape("conditions", told))
    for name, rule in (conditions or {}).items():
        if not isinstance(rule, Mapping):
            found.append(_shape(f"conditions.{name}", rule))
            continue
        when[name] = {p: tuple(ok) if isinstance(ok, list | tuple | set | range) else (ok,) for p, ok in rule.items()}
    return when, found


def _shape(where: str, got: object) -> Problem:
    return rules.problem(28, where, "a condition does not name a parent and its values", shown(got),
                         "{name: {parent: [values]}}", "{'momentum': {'optimizer': ['sgd']}}")  # fmt: skip


def both(a: Rule, b: Rule) -> Rule:
    """The rule that holds where both hold."""
    out = dict(a)
    for parent, allowed in b.items():
        out[parent] = tuple(v for v in out[parent] if key(v) in map(key, allowed)) if parent in out else allowed
    return out


def condition_problems(flat: Mapping[Any, Any], when: Mapping[str, Rule]) -> list[Problem]:
    """What is wrong with rules; ``flat`` has None for an item that is broken itself."""
    found: list[Problem] = []
    for name, rule in when.items():
        if name not in flat:
            found.append(rules.unknown(str(name), "a condition on an unknown name", name, flat))
            continue
        for parent, allowed in rule.items():
            where = f"{name} when {parent}"
            above = flat.get(parent)
            if parent not in flat:
                found.append(rules.unknown(where, "a condition names an unknown parent", parent, flat))
            elif isinstance(above, Parameter) and not 0 < above.size <= rules.MOST_OPTIONS:
                found.append(rules.problem(30, where, "a condition on a parameter with endless values", shown(above),
                                           "a Choice or a short Int", "a Choice of regimes, each a Space"))  # fmt: skip
            elif not allowed or (isinstance(above, Parameter) and not all(above.contains(v) for v in allowed)):
                values = ", ".join(map(shown, above.options)) if isinstance(above, Choice) else shown(above)
                found.append(rules.problem(30, where, "a condition that can never hold", shown(list(allowed)),
                                           values[:200], "use values of the parent"))  # fmt: skip
    sound = set(parents_first(flat, when))
    cyclic = [n for n in flat if n not in sound]
    if cyclic:
        ring = _ring(cyclic, when)
        found.append(rules.problem(29, ring[0], "conditions go in a circle", " -> ".join(ring), "a tree",
                                   f"drop the condition of {ring[0]} or of {ring[-2]}"))  # fmt: skip
    return found


def parents_first(names: Mapping[str, Any], when: Mapping[str, Rule]) -> Iterator[str]:
    """Names in the order given, each after its parents; names in a circle, and below one, are left out."""
    children: dict[str, list[str]] = defaultdict(list)
    waits = {n: sum(p in names for p in when.get(n, {})) for n in names}
    for n in names:
        for p in when.get(n, {}):
            children[p].append(n)
    stack = [n for n in reversed(list(names)) if waits[n] == 0]
    while stack:
        name = stack.pop()
        yield name
        for child in reversed(children[name]):
            waits[child] -= 1
            if waits[child] == 0:
                stack.append(child)


def _ring(cyclic: Sequence[str], when: Mapping[str, Rule]) -> list[str]:
    """The circle that one comes to by following parents from the first of the names."""
    seen: list[str] = []
    name = cyclic[0]
    while name not in seen:
        seen.append(name)
        name = next(p for p in when[name] if p in cyclic)
    return [*seen[seen.index(name) :], name]


def resolved(flat: Mapping[str, Any], when: Mapping[str, Rule]) -> tuple[dict[str, Any], dict[str, Rule]]:
    """Items, parents first, and their rules on parameters only.

    A rule on a constant is decided: the item is dropped, or has the constant's own rule instead.
    """
    items: dict[str, Any] = {}
    kept: dict[str, Rule] = {}
    for name in parents_first(flat, when):
        rule: Rule = {}
        for parent, allowed in when.get(name, {}).items():
            fixed = not isinstance(flat[parent], Parameter)
            if parent not in items or (fixed and key(flat[parent]) not in map(key, allowed)):
                break
            rule = both(rule, kept.get(parent, {}) if fixed else {parent: allowed})
        else:
            if all(rule.values()):
                items[name] = flat[name]
                if rule:
                    kept[name] = rule
    return items, kept


def count(axes: Sequence[tuple[int, Sequence[tuple[int, Mask]]]]) -> int:
    """How many configurations there are, from each axis' size and conditions.

    Goes through the axes in order and keeps, for each combination of parents' values that still matters, how many ways
    lead to it; values of a parent that allow the same children are one.
    """
    last = {parent: j for j, (_, when) in enumerate(axes) for parent, _ in when}
    ways: dict[tuple[tuple[int, int], ...], int] = {(): 1}
    for j, (size, when) in enumerate(axes):
        masks = [mask for _, below in axes for parent, mask in below if parent == j]
        kinds: dict[tuple[bool, ...], list[int]] = defaultdict(list)
        for value in range(size) if masks else ():
            kinds[tuple(bool(m[value]) for m in masks)].append(value)
        after: dict[tuple[tuple[int, int], ...], int] = defaultdict(int)
        for state, n in ways.items():
            known = dict(state)
            there = all(p in known and mask[known[p]] for p, mask in when)
            left = tuple((p, v) for p, v in state if last[p] > j)
            if not there:
                after[left] += n
            elif not masks:
                after[left] += n * size
            else:
                for alike in kinds.values():
                    after[(*left, (j, alike[0]))] += n * len(alike)
        ways = after
    return sum(ways.values())
