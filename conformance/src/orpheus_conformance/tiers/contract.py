"""Contract: what the manifest says is so. References resolve, the import is cheap, the probe is honest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Survey
from orpheus_core.ops import OpSpec, find_spec, latest_version
from orpheus_core.plugin import Backend, Ready, Unavailable, resolve
from orpheus_core.types import CPU, DType, Layout

_FACTS = ("rank", "size", "nbytes", "shape", "dtype", "present", "constant")


def _backend(backend: Backend) -> Sequence[str]:
    wrong = [w for ref in (backend.runtime, backend.seal, backend.set_threads) for w in _resolves(ref)]
    if backend.device != CPU and backend.runtime is None:
        wrong.append(f"computes on {backend.device} but names no runtime=")
    if backend.probe is not None:
        wrong += _resolves(backend.probe)
        if not wrong:
            try:
                answer = resolve(backend.probe)()
            except Exception as error:
                wrong.append(f"the probe raised {type(error).__name__}: {error}; return Unavailable(reason, fix)")
            else:
                if not isinstance(answer, (Ready, Unavailable)):
                    wrong.append(f"the probe returned {answer!r}, not Ready or Unavailable")
                elif isinstance(answer, Unavailable) and not answer.reason.strip():
                    wrong.append("the probe says Unavailable without a reason")
    ids = [(k.domain, k.op, k.name, k.opset) for k in backend.kernels]
    wrong += [f"two kernels are {op}/{name}" for n, (_, op, name, _) in enumerate(ids) if ids.index(ids[n]) != n]
    return wrong


def _resolves(reference: str | None) -> list[str]:
    if reference is None:
        return []
    try:
        found = resolve(reference)
    except Exception as error:
        return [f"{reference!r} does not resolve: {type(error).__name__}: {error}"]
    return [] if callable(found) else [f"{reference!r} is a {type(found).__name__}, not callable"]


def _kernel(subject: Subject) -> Sequence[str]:
    kernel = subject.kernel
    wrong = [w for ref in (kernel.run, kernel.prepare, kernel.supports, kernel.cost) for w in _resolves(ref)]
    spec = _newest(subject)
    if spec is None:
        return [*wrong, f"there is no operator {kernel.op_id} in opset {kernel.opset}"]
    for name, types in kernel.dtypes.items():
        if name not in spec.type_constraints:
            wrong.append(f"dtypes: {kernel.op} has no type constraint {name!r}; it has {', '.join(spec.type_constraints)}")
            continue
        allowed = {d.value for d in spec.type_constraints[name]}
        names = {d.value for d in DType}
        wrong += [f"dtypes: {t!r} is no element type" for t in types if t not in names]
        wrong += [f"dtypes: {kernel.op} does not allow {t} for {name}" for t in types if t in names - allowed]
    for rule in kernel.where:
        wrong += _field(rule.field, spec)
    for layout in {n for f in kernel.formats for n in (*f.inputs, *f.outputs)} - {"plain"}:
        if Layout(layout).permutation is None and Layout(layout).block == 1:
            wrong.append(f"formats: {layout!r} is no layout")
    for output, source in kernel.inplace:
        if output >= max(1, spec.schema.max_output) or source >= max(1, spec.schema.max_input):
            wrong.append(f"inplace: {kernel.op} has no pair (output {output}, input {source})")
    return wrong


def _newest(subject: Subject) -> OpSpec | None:
    low, high = subject.kernel.opset
    newest = latest_version(subject.kernel.domain)
    spec = find_spec(subject.kernel.domain, subject.kernel.op, newest if high is None else min(high, newest))
    return spec if spec is not None and spec.version >= low else None


def _field(field: str, spec: OpSpec) -> list[str]:
    name, _, fact = field.partition(".")
    if not fact:
        return [] if name in spec.schema.attributes else [f"rule on {name!r}: {spec.name} has no such attribute"]
    if name.partition("[")[0] not in (*spec.input_names, *spec.output_names):
        return [f"rule on {field!r}: {spec.name} has no operand {name!r}"]
    known = fact in _FACTS or (fact.startswith("shape[") and fact.endswith("]"))
    return [] if known else [f"rule on {field!r}: there is no fact {fact!r}"]


def import_faults(module: str, forbidden: Sequence[str] = ("torch", "cupy", "pyopencl", "scipy")) -> list[str]:
    """What is wrong with importing a manifest, in a fresh process: an error, or a module that only kernels need."""
    code = f"import sys, {module}; print(*(m for m in {tuple(forbidden)!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return [f"importing {module} fails: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"]
    return [f"importing {module} imports {name}; name code by reference instead" for name in done.stdout.split()]


CONTRACT = Survey("contract", "the manifest is what it says", _backend, _kernel)
