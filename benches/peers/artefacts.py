"""The model in the formats of the rivals: what `conversion.py` makes and the engines load."""

EXPORTED = "exported.onnx"
FUSED = "fused.onnx"
FUSED_INT8 = "fused-int8.onnx"
CTRANSLATE2_F32 = "ctranslate2-f32"
CTRANSLATE2_INT8 = "ctranslate2-int8"

OUTPUT = "last_hidden_state"
