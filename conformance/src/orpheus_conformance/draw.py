"""Draw: what a problem space asks for attributes, shapes and operands.

Every draw names the field it decides, as rules do (``group``, ``X.rank``, ``W.constant``), and the kernel's rules on
that field narrow the choice, so that accepted layers come out without filtering. What rules cannot narrow here
(sizes, relations that ``supports`` checks) is filtered when the layer is complete. Simple choices come first: they
are what a failure shrinks to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from orpheus_conformance.case import Operand
from orpheus_conformance.space import OMIT
from orpheus_core.ops import OpSpec
from orpheus_core.plugin import Format, Rule
from orpheus_core.types import layout_of

T = TypeVar("T")
#: Sizes of an axis: one and zero, small primes.
DIMS = (1, 2, 3, 5, 7, 0)
#: The same without zero, for axes that an operator forbids to be empty.
FULL_DIMS = (1, 2, 3, 5, 7)
_DTYPE_ORDER = ("float32", "int64", "float64", "float16", "bfloat16", "int32", "uint8", "int8", "bool")


#: Strategies by what they draw from. Hypothesis looks at each new one at length, and layers ask for the same ones.
_strategies: dict[str, st.SearchStrategy[Any]] = {}
_SIMPLE = (bool, int, float, str, type(None))


def _sampled(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if not all(isinstance(option, _SIMPLE) for option in options):
        return st.sampled_from(options)
    key = repr(options)  # as values, 1 == True == 1.0 and 0.0 == -0.0
    if key not in _strategies:
        _strategies[key] = st.sampled_from(options)
    return _strategies[key]


@cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


class Draw:
    """Choices for one layer of ``spec``.

    ``draw`` draws from a Hypothesis strategy; ``rules`` and ``dtypes`` are the kernel's, both empty when the run is not
    steered; ``kind`` is the kind of values the tier wants.
    """

    def __init__(
        self,
        draw: Callable[[st.SearchStrategy[Any]], Any],
        spec: OpSpec,
        *,
        rules: Sequence[Rule] = (),
        dtypes: Mapping[str, tuple[str, ...]] | None = None,
        kind: str = "normal",
        fmt: Format | None = None,
    ) -> None:
        self._draw = draw
        #: The kernel's format that the layer is for.
        self.format = fmt or Format()
        self.spec = spec
        self.kind = kind
        self._dtypes = dict(dtypes or {})
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.field, []).append(rule)

    @property
    def version(self) -> int:
        """The version of the operator's schema that the layer is of."""
        return self.spec.version

    @property
    def block(self) -> int:
        """Channels in a block of the format's layouts, 1 where none is blocked."""
        return max(layout_of(name).block for name in {"plain", *self.format.inputs, *self.format.outputs})

    # Free choices.

    def choose(self, options: Iterable[T]) -> T:
        """One of the options; the first is the simplest."""
        options = tuple(options)
        if len(options) == 1:
            return options[0]
        found: T = self._draw(_sampled(options))
        return found

    def integer(self, low: int, high: int) -> int:
        """An integer of [low, high]."""
        return int(self._draw(_integers(low, high)))

    def flag(self) -> bool:
        """True or False; False is simpler."""
        return bool(self._draw(st.booleans()))

    def shuffled(self, items: Iterable[T]) -> tuple[T, ...]:
        """The items in any order; their own order is the simplest."""
        return tuple(self._draw(st.permutations(tuple(items))))

    def subset(self, items: Iterable[T], least: int = 0) -> tuple[T, ...]:
        """Some of the items, without repeats, in any order."""
        items = tuple(items)
        if not items:
            return ()
        return tuple(
            self._draw(st.lists(st.sampled_from(items), unique=True, min_size=least, max_size=len(items)))
        )

    # Choices that rules may narrow.

    def among(self, field: str, options: Iterable[T]) -> T:
        """A value of ``field``: an option that the rules allow, or one that they name."""
        allowed: list[T] = self._allowed(field, options)
        return self.choose(allowed)

    def attribute(self, name: str, options: Iterable[Any]) -> Any:
        """A value of an attribute; the option OMIT leaves it out, which means its default."""
        default = self.spec.defaults.get(name)
        rules = self._rules.get(name, ())
        options = tuple(options)
        kept = [o for o in options if all(_holds(r, default if o is OMIT else o) for r in rules)]
        for value in self._named(name):
            if value not in kept and all(_holds(r, value) for r in rules):
                kept.append(value)
        return self.choose(kept or options)

    def ints(self, name: str, count: int, options: Iterable[int]) -> tuple[int, ...]:
        """A list attribute of ``count`` elements (strides, dilations, pads), each among the options."""
        whole = [v for v in self._named(name) if isinstance(v, tuple) and len(v) == count]
        if whole:
            return tuple(self.choose(whole))
        pool = [o for o in dict.fromkeys((*options, *self._elements(name))) if self._each(name, o)]
        pool = pool or list(options)
        return tuple(self.choose(pool) for _ in range(count))

    def maybe(self, name: str, value: Any, default: Any) -> Any:
        """An attribute's value, or OMIT where it equals what leaving it out means (and the rules agree)."""
        if value == default and all(
            _holds(r, self.spec.defaults.get(name)) for r in self._rules.get(name, ())
        ):
            return self.choose((value, OMIT))
        return value

    def dtype(self, constraint: str = "T", among: Iterable[str] | None = None) -> str:
        """An element type that the schema and the kernel allow for a type constraint."""
        allowed = {d.value for d in self.spec.type_constraints[constraint]}
        for names in (self._dtypes.get(constraint), among):
            if names is not None:
                allowed &= set(names)
        if not allowed:
            raise Unsteerable(f"{self.spec.name}: no element type is left for {constraint}")
        order = [d for d in _DTYPE_ORDER if d in allowed] + sorted(allowed - set(_DTYPE_ORDER))
        return self.choose(order)

    def dtype_of(self, index: int) -> str:
        """An element type for input ``index``: of its type constraint, or its fixed type."""
        name = self.spec.constraint_of_input(index)
        if name is not None:
            return self.dtype(name)
        declared = self.spec.schema.inputs
        text = str(declared[min(index, len(declared) - 1)].type_str)
        return {"tensor(float)": "float32", "tensor(double)": "float64"}.get(text, text[7:-1])

    def dtypes(self, constraint: str = "T") -> frozenset[str]:
        """Every element type that may be drawn for a type constraint."""
        allowed = {d.value for d in self.spec.type_constraints[constraint]}
        declared = self._dtypes.get(constraint)
        return frozenset(allowed if declared is None else allowed & set(declared))

    def narrowed(self, constraint: str) -> bool:
        """Whether the kernel names element types for a type constraint, which speaks of tensors only."""
        return constraint in self._dtypes

    def rank(self, name: str, options: Iterable[int]) -> int:
        """The rank of an operand."""
        return self.among(f"{name}.rank", options)

    def dim(self, name: str, axis: int, options: Iterable[int] = DIMS, *, rank: int | None = None) -> int:
        """The size of an operand's axis; ``rank`` makes rules on the axis counted from the end apply too."""
        fields = [f"{name}.shape[{axis}]"]
        if rank is not None:
            fields.append(f"{name}.shape[{axis - rank if axis >= 0 else axis + rank}]")
        options = self.sizes(name, options) or (1,)
        pool = list(dict.fromkeys((*options, *(v for f in fields for v in self._named(f)))))
        kept = [o for o in pool if all(_holds(r, o) for f in fields for r in self._rules.get(f, ()))]
        size: int = self.choose(kept or options)
        return size

    def sizes(self, name: str, options: Iterable[int]) -> tuple[int, ...]:
        """The options for an axis of an operand, without zero where the kernel takes no empty one."""
        rules = (*self._rules.get(f"{name}.size", ()), *self._rules.get("*.size", ()))
        return tuple(o for o in options if o or all(_holds(rule, 0) for rule in rules))

    def widths(self, options: Iterable[int]) -> tuple[int, ...]:
        """Numbers of channels: the options, and where the format is blocked whole blocks and one channel more."""
        options, block = tuple(options), self.block
        return options if block == 1 else (*options, block, 2 * block, block + 1)

    def long(self, options: Iterable[int]) -> tuple[int, ...]:
        """Sizes of what kernels cut into tiles: the options, and where the format is blocked more than four blocks."""
        options, block = tuple(options), self.block
        return options if block == 1 else (*options, 4 * block + 1)

    def shape(self, name: str, ranks: Iterable[int], options: Iterable[int] = DIMS) -> tuple[int, ...]:
        """The shape of an operand, axis by axis."""
        rank, options = self.rank(name, ranks), tuple(options)
        channels = self.widths(options)
        return tuple(
            self.dim(name, axis, channels if axis == 1 else options, rank=rank) for axis in range(rank)
        )

    def present(self, name: str) -> bool:
        """Whether an optional operand is there."""
        return self.among(f"{name}.present", (False, True))

    def constant(self, name: str, options: Iterable[bool] = (False, True)) -> bool:
        """Whether an operand that is given is a constant of the model."""
        rules, options = self._rules.get(f"{name}.runtime", ()), tuple(options)
        kept = [option for option in options if all(_holds(rule, not option) for rule in rules)]
        return self.among(f"{name}.constant", kept or options)

    # Operands.

    def tensor(
        self,
        name: str,
        dtype: str,
        shape: Iterable[int],
        *,
        low: float | None = None,
        high: float | None = None,
        special: bool = True,
        kind: str | None = None,
        constant: bool | None = False,
    ) -> Operand:
        """An operand of made values. ``constant`` None: either way. See :class:`.case.Operand`."""
        fixed = self.constant(name, (False, True) if constant is None else (constant,))
        return Operand(dtype, tuple(shape), kind or self.kind, None, fixed, low, high, special)

    def data(self, name: str, dtype: str, values: Any, *, constant: bool | None = None) -> Operand:
        """An operand of explicit values, of which a shape depends (axes, indices): a number or a flat sequence."""
        fixed = self.constant(name, (True, False) if constant is None else (constant,))
        if isinstance(values, (int, float, str)):
            return Operand(dtype, (), "normal", (values,), fixed)
        values = tuple(values)
        return Operand(dtype, (len(values),), "normal", values, fixed)

    # Shapes that fit each other.

    def broadcastable(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts to ``shape``: some axes one, leading axes dropped."""
        kept = self.integer(0, len(shape))
        return tuple(self.choose((d, 1)) for d in shape[len(shape) - kept :])

    def may(self, field: str, value: Any) -> bool:
        """Whether the rules on a field allow a value."""
        return all(_holds(rule, value) for rule in self._rules.get(field, ()))

    def ranked(self, name: str) -> bool:
        """Whether a rule or a layout fixes an operand's rank."""
        return any(rule.op == "==" for rule in self._rules.get(f"{name}.rank", ()))

    def single(self, name: str) -> bool:
        """Whether a rule demands an operand of one element."""
        return any(rule.op == "==" and rule.value == 1 for rule in self._rules.get(f"{name}.size", ()))

    def ones(self, rank: int) -> tuple[int, ...]:
        """A shape of one element that broadcasts to any of ``rank`` axes."""
        return (1,) * self.integer(0, rank)

    def axis(self, rank: int) -> int:
        """An axis, counted from either end; where the format is blocked mostly that of the channels."""
        if self.block > 1 and rank > 1 and self.choose((True, True, False)):
            return self.choose((1, 1 - rank))
        return self.choose([a for n in range(rank) for a in (n, n - rank)])

    def axes(self, rank: int, least: int = 0) -> tuple[int, ...]:
        """Distinct axes, each counted from either end; where the format is blocked mostly of rows and columns."""
        inner = self.block > 1 and rank > 2 and self.choose((True, True, False))
        found = self.subset(range(2 if inner else 0, rank), least)
        return tuple(a - rank if self.flag() else a for a in found)

    # Rules.

    def _allowed(self, field: str, options: Iterable[Any]) -> list[Any]:
        options = tuple(options)
        pool = list(options) + [v for v in self._named(field) if v not in options]
        rules = self._rules.get(field, ())
        return [o for o in pool if all(_holds(r, o) for r in rules)] or list(options)

    def _named(self, field: str) -> list[Any]:
        """The values that rules on a field name themselves, so that a demand outside the usual options can be met."""
        found: list[Any] = []
        for rule in self._rules.get(field, ()):
            if rule.op in ("==", ">=", "<="):
                found.append(rule.value)
            elif rule.op == "in":
                found.extend(rule.value)
        return [value for value in found if value is not None]  # None is what is left out

    def _elements(self, field: str) -> list[Any]:
        return [v for rule in self._rules.get(field, ()) if rule.op == "each" for v in rule.value]

    def _each(self, field: str, element: Any) -> bool:
        return all(element in rule.value for rule in self._rules.get(field, ()) if rule.op == "each")


def rank_of(layout: str) -> int | None:
    """The rank that a layout fixes, None for plain."""
    if layout == "plain":
        return None
    return {"NWC": 3, "NHWC": 4, "NDHWC": 5}.get(layout) or len(layout.rstrip("c").rstrip("0123456789"))


class Unsteerable(Exception):
    """What a kernel declares leaves nothing to draw."""


class _Fact:
    """Stands for a problem of which one field is decided."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def field(self, _: str) -> Any:
        return self.value


def _holds(rule: Rule, value: Any) -> bool:
    return rule.refusal(_Fact(value)) is None  # type: ignore[arg-type]
