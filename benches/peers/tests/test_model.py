"""What is read of a model's folder, from the tiny models, and which folders are refused."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from ..engines import ARTEFACTS, RIVALS, loads
from ..model import Model, repository
from . import FIXTURES, TINY_BERT, TINY_MPNET, TINY_MULTILINGUAL


class Read(unittest.TestCase):
    def test_bert(self) -> None:
        model = Model.read(TINY_BERT)
        self.assertEqual((model.max_tokens, model.normalizes, model.pad_token), (32, True, "[PAD]"))
        self.assertEqual(model.inputs, ["input_ids", "attention_mask", "token_type_ids"])

    def test_mpnet_has_no_token_types(self) -> None:
        model = Model.read(TINY_MPNET)
        self.assertEqual((model.max_tokens, model.normalizes, model.pad_token), (200, True, "<pad>"))
        self.assertEqual(model.inputs, ["input_ids", "attention_mask"])

    def test_a_chain_may_end_with_the_mean(self) -> None:
        model = Model.read(TINY_MULTILINGUAL)
        self.assertEqual((model.max_tokens, model.normalizes, model.pad_token), (128, False, "<pad>"))

    def test_other_modules_are_refused_by_name(self) -> None:
        with self.assertRaisesRegex(SystemExit, "tiny-bert-dense: expected .*, found .*'Dense'"):
            Model.read(FIXTURES / "tiny-bert-dense")

    def test_another_pooling_is_refused_by_name(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(shutil.copytree(TINY_BERT, Path(directory) / "cls"))
            path = folder / "1_Pooling/config.json"
            flags = json.loads(path.read_text()) | {"pooling_mode_cls_token": True}
            path.write_text(json.dumps(flags))
            with self.assertRaisesRegex(SystemExit, "found .*'pooling_mode_cls_token'"):
                Model.read(folder)


class Describe(unittest.TestCase):
    def test_sizes_have_one_name_in_all_architectures(self) -> None:
        found = Model.read(TINY_MPNET).describe()
        sizes = [
            found[name] for name in ("layers", "hidden_size", "heads", "intermediate_size", "vocab_size")
        ]
        self.assertEqual(sizes, [2, 48, 3, 96, 303])
        self.assertEqual(found["architecture"], "MPNetModel")
        self.assertEqual(len(str(found["weights_sha256"])), 64)

    def test_a_folder_of_the_hubs_cache_has_its_repositorys_name(self) -> None:
        cache = Path("/hub/models--owner--a-name--with-dashes/snapshots/0123")
        self.assertEqual(repository(cache), "owner/a-name/with-dashes")
        self.assertEqual(repository(Path("/some/random-model")), "random-model")


class Rivals(unittest.TestCase):
    def test_ctranslate2_has_no_mpnet(self) -> None:
        left_out = [name for name in RIVALS if not loads(name, "mpnet")]
        self.assertEqual(left_out, ["CTranslate2 f32", "CTranslate2 int8"])
        self.assertTrue(all(loads(name, "bert") for name in RIVALS))

    def test_only_the_reference_loads_the_folder_itself(self) -> None:
        self.assertEqual(set(RIVALS) - set(ARTEFACTS), {"sentence-transformers f32"})
