"""The driver of local rewrites: a rule looks at one node and says what stands in its place.

``rewrite(graph, rule)`` offers every node, those of subgraphs included, to the rule in topological order and
goes on until nothing matches. Work is near-linear: after a rewrite only its neighbours are offered again.

What a rule can rely on:

* ``Replacement.nodes`` take the matched node's place; ``Replacement.values`` says which old value is
  read as which other value from now on. A new node may also simply define the matched node's own outputs.
* Every used output of the matched node must be defined again or replaced. Outputs of other nodes (the siblings
  of a merge) may be replaced too, never defined again.
* New values need their type; :meth:`Context.new_value` takes it.
* Nodes that nothing reads any more because of the rewrite vanish, so a rule that fuses a producer into
  its consumer returns the fused node only.
* The graph's inputs and outputs stay the very same Values: where an output is replaced, the replacing value
  takes over its identity, or an Identity is left when that value is an input, a constant, a captured value or
  another output.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from orpheus_core.graph import Attribute, Graph, Node
from orpheus_core.passes.context import Context, Replacement
from orpheus_core.passes.names import Names, all_values

__all__ = ["Context", "Names", "Replacement", "Rule", "all_values", "forget", "rewrite"]

_log = logging.getLogger("orpheus.passes")

Rule: TypeAlias = "Callable[[Node, Context], Replacement | None]"


def rewrite(
    graph: Graph, rule: Rule, names: Names | None = None, *, starts: frozenset[str] | None = None
) -> Graph:
    """The graph after the rule has been applied wherever it matches; the same object if nowhere.

    ``starts`` names every operator, of whatever domain, that the rule may match; None: any. The rule is offered only
    nodes of these.
    """
    if starts is not None and graph.ops.isdisjoint(starts):
        return graph
    outermost = names is None
    context = _context(graph) if names is None else Context(graph, names)
    names = context.names

    def offered(slots: Iterable[int]) -> Iterable[int]:
        return slots if starts is None else [s for s in slots if context.may_start(s, starts)]

    queue = deque(offered(context.slots_in_order()))
    queued = set(queue)
    budget = 100 * len(graph.nodes) + 1000
    changed = swept = False
    while queue or swept:
        if not queue:
            # A rule may look further than a rewrite's neighbours: sweep until nothing matches anywhere.
            queue.extend(offered(context.slots_in_order()))
            queued.update(queue)
            swept = False
            continue
        slot = queue.popleft()
        queued.discard(slot)
        if not context.is_there(slot):
            continue
        node = context.node_at(slot)
        if node.subgraphs:
            node = context.settled(slot)
            inner = _rewrite_subgraphs(node, rule, names, starts)
            if inner is not node:
                context.swap(node, inner)
                changed = True
            node = inner
        if starts is not None and node.op not in starts:
            continue
        replacement = rule(node, context)
        if replacement is None or not context.apply(node, replacement):
            continue
        changed = swept = True
        budget -= 1
        if budget == 0:
            _log.warning("stopped rewriting %s: the rule keeps matching its own results", graph.name)
            break
        # Neighbours behind the sweep are offered again; those ahead of it still are in the queue.
        again = [s for s in offered(context.take_touched()) if s not in queued]
        queue.extendleft(reversed(again))
        queued.update(again)
    if changed:
        graph = context.finish()
    if outermost:
        _kept.context = context
    return graph


#: Each thread's last context, for the next pass over the same graph.
_kept = threading.local()


def _context(graph: Graph) -> Context:
    kept: Context | None = getattr(_kept, "context", None)
    _kept.context = None
    return kept if kept is not None and kept.graph is graph else Context(graph, Names(graph))


def forget() -> None:
    """Keep no graph: to be called after the last pass."""
    _kept.context = None


def _rewrite_subgraphs(node: Node, rule: Rule, names: Names, starts: frozenset[str] | None) -> Node:
    attributes: dict[str, Attribute] = dict(node.attributes)
    for key, attribute in node.attributes.items():
        if isinstance(attribute, Graph):
            attributes[key] = rewrite(attribute, rule, names, starts=starts)
    if all(attributes[k] is a for k, a in node.attributes.items()):
        return node
    return node.replace(attributes=attributes)
