"""The rivals by their names. An engine's module is imported by its own process alone."""

from importlib import import_module

from .engine import Engine, Place

__all__ = ["REFERENCE", "RIVALS", "Engine", "Place", "load", "precision_of"]

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

REFERENCE = "sentence-transformers f32"


def precision_of(name: str) -> str:
    return RIVALS[name][0]


def load(name: str, place: Place) -> Engine:
    _, module, class_name, options = RIVALS[name]
    engine: Engine = getattr(import_module(f"{__name__}.{module}"), class_name)(place, **options)
    return engine
