"""Control flow, sequences, optionals and strings."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

KERNELS: tuple[Kernel, ...] = (
    reference("If", "control.branch:if_"),
    reference("Loop", "control.branch:loop", takes_problem=True),
    reference("Scan", "control.scan:scan", opset=(9, None), takes_problem=True),
    Kernel(
        op="Scan",
        name="reference-batched",
        run="orpheus_numpy.control.scan:scan_8",
        opset=(8, 8),
        takes_problem=True,
    ),
    reference("SequenceConstruct", "control.sequence:sequence_construct"),
    reference("SequenceEmpty", "control.sequence:sequence_empty"),
    reference("SequenceAt", "control.sequence:sequence_at"),
    reference("SequenceInsert", "control.sequence:sequence_insert"),
    reference("SequenceErase", "control.sequence:sequence_erase"),
    reference("SequenceLength", "control.sequence:sequence_length"),
    reference("SequenceMap", "control.sequence:sequence_map", takes_problem=True),
    reference("SplitToSequence", "control.sequence:split_to_sequence"),
    reference("ConcatFromSequence", "control.sequence:concat_from_sequence"),
    reference("Optional", "control.sequence:optional"),
    reference("OptionalGetElement", "control.sequence:optional_get_element"),
    reference("OptionalHasElement", "control.sequence:optional_has_element"),
    reference("StringNormalizer", "text.strings:string_normalizer"),
    reference("StringConcat", "text.strings:string_concat"),
    reference("StringSplit", "text.strings:string_split"),
    reference("RegexFullMatch", "text.strings:regex_full_match"),
    reference("TfIdfVectorizer", "text.tfidf:tfidf_vectorizer"),
)
