"""Candidates: for one node, every kernel that accepts it, and for each that does not, the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, Union

from orpheus_core.graph import Graph, Node
from orpheus_core.ops import OpSpec, find_spec
from orpheus_core.ops.spec import latest_version
from orpheus_core.plugin import Backend, Format, Kernel, Problem, Rule, resolve
from orpheus_core.selection.refusal import Refusal, RefusalCode
from orpheus_core.selection.views import VIEWS, is_view, view_backend
from orpheus_core.types import Device, DType, TensorType, ValueType, layout_of

#: A type constraint's name, the element type of an operand under it (None for what is no tensor), and its type.
_Constrained: TypeAlias = tuple[str, Union[str, None], ValueType]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel of a backend in one of its formats. It fixes the layout and device of every operand.

    ``late``: the shapes are open, so the kernel's rules are applied, and the kernel prepared, during the run.
    """

    backend: Backend
    kernel: Kernel
    format: Format
    late: bool = False

    @cached_property
    def id(self) -> str:
        """``backend:Op/kernel``: what pins and reports name."""
        return f"{self.backend.name}:{self.kernel.op_id}/{self.kernel.name}"

    @cached_property
    def label(self) -> str:
        """The id, with its layouts when they are not plain."""
        names = dict.fromkeys((*self.format.inputs, *self.format.outputs))
        names.pop("plain", None)
        return f"{self.id}[{','.join(names)}]" if names else self.id


def kernel_id(backend: Backend, kernel: Kernel) -> str:
    """``backend:Op/kernel``."""
    return f"{backend.name}:{kernel.op_id}/{kernel.name}"


def spec_of(node: Node) -> OpSpec | None:
    """The OpSpec that gives a node its meaning."""
    return find_spec(node.domain, node.op, node.version or latest_version(node.domain))


def problem_of(node: Node, *, threads: int = 1, network_bytes: int = 0) -> Problem:
    """The layer a node stands for. Graph attributes stay graphs; layouts and devices are plain and host."""
    spec = spec_of(node)
    input_names = _expand(spec.input_names, spec.schema.inputs, len(node.inputs)) if spec else ()
    output_names = _expand(spec.output_names, spec.schema.outputs, len(node.outputs)) if spec else ()
    return Problem(
        op=node.op,
        domain=node.domain,
        version=node.version,
        attributes=node.attributes,
        inputs=tuple(None if v is None else v.type for v in node.inputs),
        outputs=tuple(None if v is None else v.type for v in node.outputs),
        constants={i: v.const for i, v in enumerate(node.inputs) if v is not None and v.const is not None},
        input_names=input_names,
        output_names=output_names,
        threads=threads,
        network_bytes=network_bytes,
    )


def _expand(names: Sequence[str], parameters: Sequence[object], count: int) -> tuple[str, ...]:
    # A variadic operand "inputs" with three arrays is named inputs, inputs[1], inputs[2].
    extra = [f"{names[-1]}[{i}]" for i in range(1, count - len(names) + 1)] if names else []
    return (*names, *extra)


def in_format(problem: Problem, candidate: Candidate) -> Problem:
    """The problem with the candidate's layouts and device on its operand types."""
    fmt, device = candidate.format, candidate.backend.device

    def place(type_: ValueType | None, layout: str) -> ValueType | None:
        return type_ if type_ is None else placed(type_, layout, device)

    return Problem(
        op=problem.op,
        domain=problem.domain,
        version=problem.version,
        attributes=problem.attributes,
        inputs=tuple(place(t, fmt.input(i)) for i, t in enumerate(problem.inputs)),
        outputs=tuple(place(t, fmt.output(i)) for i, t in enumerate(problem.outputs)),
        constants=problem.constants,
        input_names=problem.input_names,
        output_names=problem.output_names,
        threads=problem.threads,
        network_bytes=problem.network_bytes,
    )


def placed(type_: ValueType, layout: str, device: Device) -> ValueType:
    """The type in this layout on this device; what is no tensor lies where it lies."""
    if not isinstance(type_, TensorType) or (type_.layout.name == layout and type_.device == device):
        return type_
    return TensorType(type_.dtype, type_.shape, layout_of(layout), device)


def candidates(problem: Problem, backends: Iterable[Backend]) -> tuple[list[Candidate], list[Refusal]]:
    """Every candidate for a layer among ``backends``, in their order, and every refusal."""
    found: list[Candidate] = []
    refused: list[Refusal] = []
    backends = tuple(backends)
    if is_view(problem):
        # A view costs nothing anywhere, so it is offered on every device that may hold the operand.
        devices = dict.fromkeys(b.device for b in backends)
        found.extend(Candidate(view_backend(d), VIEWS[problem.op], Format()) for d in devices)
    static, operands = _is_static(problem), _constrained(problem)
    for backend in backends:
        judge = _Judge(problem, operands, static)
        for row in _rows_of(backend, (problem.domain, problem.op)):
            kernel, reason = row.kernel, judge.reason(row)
            if reason is not None:
                refused.append(Refusal(row.id, *reason))
                continue
            if kernel.prepare is not None and not static:
                found.append(Candidate(backend, kernel, Format(), late=True))
                continue
            fits = [candidate for number, candidate in row.candidates if judge.fits(number, candidate.format)]
            if not fits:
                names = sorted({n for f in kernel.formats for n in (*f.inputs, *f.outputs)})
                text = f"its layouts ({', '.join(names)}) do not fit the operands' ranks or their number"
                refused.append(Refusal(row.id, RefusalCode.LAYOUT, text))
            found.extend(fits)
    return found, refused


class _Judge:
    """Judges one layer for the kernels of one backend. What several of them ask alike is found out once."""

    def __init__(self, problem: Problem, operands: Sequence[_Constrained], static: bool) -> None:
        self.problem = problem
        self.operands = operands
        self.static = static
        self._reasons: dict[int, tuple[RefusalCode, str] | None] = {}
        self._rules: dict[int, str | None] = {}
        self._supports: dict[str, str | None] = {}
        self._fits: dict[int, bool] = {}

    def reason(self, row: _Row) -> tuple[RefusalCode, str] | None:
        """Why the kernel does not take the layer, None when it does."""
        if row.terms not in self._reasons:
            self._reasons[row.terms] = self._judge(row)
        return self._reasons[row.terms]

    def _judge(self, row: _Row) -> tuple[RefusalCode, str] | None:
        kernel, version = row.kernel, self.problem.version
        low, high = kernel.opset
        if version < low or (high is not None and version > high):
            text = f"implements opset {low} to {high or 'newest'}, the node is version {version}"
            return RefusalCode.OPSET, text
        refusal = _dtype_refusal(self.operands, kernel)
        if refusal:
            return RefusalCode.DTYPE, refusal
        late = False
        if kernel.prepare is not None and not self.static:
            if Format() not in kernel.formats or not _are_tensors(self.problem):
                return RefusalCode.SHAPE, "needs tensors whose shapes are known before the run"
            late = True
        known = self._rules
        try:
            for number, rule in row.rules:
                if late and not rule.field.endswith((".constant", ".present", ".runtime")):
                    continue  # its operands' shapes may tell during the run
                if number not in known:
                    known[number] = rule.refusal(self.problem)
                refusal = known[number]
                if refusal:
                    return RefusalCode.RULE, refusal
            if kernel.supports is not None and not late:
                refusal = self._support(kernel.supports)
                if refusal:
                    return RefusalCode.UNSUPPORTED, str(refusal)
        except Exception as error:  # a plugin's rule or function may be broken; it must harm no other
            text = f"its rules failed: {type(error).__name__}: {error}"
            return RefusalCode.BROKEN, text
        return None

    def fits(self, number: int, format: Format) -> bool:
        """Whether the operands can lie so."""
        if number not in self._fits:
            self._fits[number] = _fits(self.problem, format)
        return self._fits[number]

    def _support(self, reference: str) -> str | None:
        if reference not in self._supports:
            self._supports[reference] = resolve(reference)(self.problem)
        return self._supports[reference]


def _constrained(problem: Problem) -> list[_Constrained]:
    """The operands under each type constraint of the operator: each type once."""
    spec = find_spec(problem.domain, problem.op, problem.version)
    if spec is None:
        return []
    operands = [(spec.constraint_of_input(i), t) for i, t in enumerate(problem.inputs) if t is not None]
    operands += [(spec.constraint_of_output(i), t) for i, t in enumerate(problem.outputs) if t is not None]
    seen: dict[tuple[str, object], _Constrained] = {}
    for name, type_ in operands:
        key = type_.dtype if isinstance(type_, TensorType) else type_
        if name is not None and (name, key) not in seen:
            seen[name, key] = (name, key.value if isinstance(key, DType) else None, type_)
    return list(seen.values())


def _dtype_refusal(operands: Sequence[_Constrained], kernel: Kernel) -> str | None:
    for name, element, type_ in operands:
        allowed = kernel.dtypes.get(name)
        if allowed is None or element in allowed:
            continue
        if element is None:
            return f"needs {name} to be a tensor of {' or '.join(allowed)}, has {type_}"
        return f"needs {name} in {' or '.join(allowed)}, has {element}"
    return None


def _are_tensors(problem: Problem) -> bool:
    types = [t for t in (*problem.inputs, *problem.outputs) if t is not None]
    return all(isinstance(t, TensorType) and t.dtype.value != "string" for t in types)


def _is_static(problem: Problem) -> bool:
    types = [t for t in (*problem.inputs, *problem.outputs) if t is not None]
    return all(isinstance(t, TensorType) and t.is_static for t in types)


def _fits(problem: Problem, fmt: Format) -> bool:
    lists = (
        (problem.inputs, fmt.inputs, problem.input_names),
        (problem.outputs, fmt.outputs, problem.output_names),
    )
    if any(len(types) > len(layouts) > len(formal) for types, layouts, formal in lists):
        return False
    operands = (*zip(problem.inputs, fmt.inputs), *zip(problem.outputs, fmt.outputs))
    for type_, layout in operands:
        if layout == "plain" or type_ is None:
            continue
        if not isinstance(type_, TensorType) or type_.static_shape is None:
            return False
        if not layout_of(layout).fits(len(type_.static_shape)):
            return False
    return True


@dataclass(frozen=True, eq=False)
class _Row:
    """A kernel in the table of its operator, where equal rules and formats have one number; a candidate a format.

    Kernels of equal ``terms`` take and refuse the same layers for the same reasons.
    """

    kernel: Kernel
    id: str
    terms: int
    rules: tuple[tuple[int, Rule], ...]
    candidates: tuple[tuple[int, Candidate], ...]


@dataclass(frozen=True, eq=False)
class _Table:
    """A backend's kernels by (domain, op), and those rows that were asked for."""

    backend: Backend
    kernels: dict[tuple[str, str], tuple[Kernel, ...]]
    rows: dict[tuple[str, str], tuple[_Row, ...]] = field(default_factory=dict)


_TABLES: dict[int, _Table] = {}
_MOST_TABLES = 64


def kernels_of(backend: Backend) -> dict[tuple[str, str], tuple[Kernel, ...]]:
    """A backend's kernels by (domain, op), built once per backend object."""
    return _table_of(backend).kernels


def _table_of(backend: Backend) -> _Table:
    known = _TABLES.get(id(backend))
    if known is None or known.backend is not backend:
        kernels: dict[tuple[str, str], list[Kernel]] = {}
        for kernel in backend.kernels:
            kernels.setdefault((kernel.domain, kernel.op), []).append(kernel)
        known = _Table(backend, {key: tuple(found) for key, found in kernels.items()})
        if len(_TABLES) >= _MOST_TABLES:
            _TABLES.clear()  # of backends that sessions configured for themselves
        _TABLES[id(backend)] = known
    return known


def _rows_of(backend: Backend, key: tuple[str, str]) -> tuple[_Row, ...]:
    table = _table_of(backend)
    if key not in table.rows:
        rules: dict[object, int] = {}
        met: dict[int, int] = {}  # rules by their ids: kernels of a family share them
        formats: dict[Format, int] = {}
        terms: dict[object, int] = {}
        rows = []
        for kernel in table.kernels.get(key, ()):
            for rule in kernel.where:
                if id(rule) not in met:
                    met[id(rule)] = rules.setdefault(_rule_key(rule), len(rules))
            numbered = tuple((met[id(rule)], rule) for rule in kernel.where)
            placed = tuple(
                (formats.setdefault(f, len(formats)), Candidate(backend, kernel, f)) for f in kernel.formats
            )
            asked = (
                tuple(kernel.opset), tuple((name, tuple(of)) for name, of in kernel.dtypes.items()),
                kernel.prepare is None, Format() in kernel.formats, tuple(number for number, _ in numbered),
                kernel.supports,
            )  # fmt: skip
            number = terms.setdefault(asked, len(terms))
            rows.append(_Row(kernel, kernel_id(backend, kernel), number, numbered, placed))
        table.rows[key] = tuple(rows)
    return table.rows[key]


def _rule_key(rule: Rule) -> object:
    """Equal for rules that hold alike and say so in the same words."""
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    plain = type(rule) is Rule and all(isinstance(v, (int, float, str)) for v in values)
    return (rule.field, rule.op, repr(rule.value)) if plain else id(rule)


def has_subgraph(node: Node) -> bool:
    """Whether the node holds graphs (control flow)."""
    return any(isinstance(a, Graph) for a in node.attributes.values())
