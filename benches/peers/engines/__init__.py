"""The rivals by their names. An engine's module is imported by its own process alone."""

from importlib import import_module

from .. import artefacts
from .engine import Engine, Place

__all__ = ["ARTEFACTS", "REFERENCE", "RIVALS", "Engine", "Place", "load", "loads", "precision_of"]

# Name → precision, module and class, and what the class is told beside the place.
RIVALS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "sentence-transformers f32": ("f32", "sentence_transformer", "SentenceTransformerEngine", {}),
    "ONNX Runtime f32": ("f32", "onnx_runtime", "OnnxRuntimeEngine", {"precision": "f32"}),
    "OpenVINO f32": ("f32", "open_vino", "OpenVinoEngine", {"precision": "f32"}),
    "CTranslate2 f32": ("f32", "c_translate2", "CTranslate2Engine", {"precision": "f32"}),
    "OpenVINO bf16": ("bf16", "open_vino", "OpenVinoEngine", {"precision": "bf16"}),
    "ONNX Runtime int8": ("int8", "onnx_runtime", "OnnxRuntimeEngine", {"precision": "int8"}),
    "CTranslate2 int8": ("int8", "c_translate2", "CTranslate2Engine", {"precision": "int8"}),
}

# Which forms of the model each of them loads; one that is not here loads the folder itself.
ARTEFACTS: dict[str, frozenset[str]] = {
    "ONNX Runtime f32": frozenset({artefacts.EXPORTED, artefacts.FUSED}),
    "OpenVINO f32": frozenset({artefacts.EXPORTED}),
    "CTranslate2 f32": frozenset({artefacts.CTRANSLATE2_F32}),
    "OpenVINO bf16": frozenset({artefacts.EXPORTED}),
    "ONNX Runtime int8": frozenset({artefacts.FUSED_INT8}),
    "CTranslate2 int8": frozenset({artefacts.CTRANSLATE2_INT8}),
}

# Architectures (model_type) that a library has no form of, by the beginning of the names.
LACKS: dict[str, frozenset[str]] = {"CTranslate2": frozenset({"mpnet"})}

REFERENCE = "sentence-transformers f32"


def precision_of(name: str) -> str:
    return RIVALS[name][0]


def loads(name: str, model_type: str) -> bool:
    """Whether it can load models of that architecture."""
    return not any(name.startswith(library) and model_type in lacks for library, lacks in LACKS.items())


def load(name: str, place: Place) -> Engine:
    _, module, class_name, options = RIVALS[name]
    engine: Engine = getattr(import_module(f"{__name__}.{module}"), class_name)(place, **options)
    return engine
