"""An encoder in places that were made for sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest

from uicgpu.encode import Encoder
from uicgpu.errors import SettingsError
from uicgpu.settings import Settings

TEXTS = ["red bike", "blue boat lamp", "green chair", "red bike"]


@pytest.fixture
def encoder(toy_folder):
    return Encoder(toy_folder, device="cpu", threads=1)


class TopicBackend:
    """Stands in for a topic model's backend: calls an encoder as those written for sentence-transformers do."""

    def __init__(self, embedding_model) -> None:
        self.embedding_model = embedding_model

    def embed_documents(self, documents, verbose=False):
        return self.embedding_model.encode(documents, show_progress_bar=verbose)

    def embed_words(self, words):
        return self.embedding_model.encode(
            words, batch_size=64, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
        )


@pytest.mark.parametrize("verbose", [False, True])
def test_it_answers_the_calls_of_a_topic_models_backend(verbose, encoder, capsys):
    backend = TopicBackend(encoder)
    expected = encoder.encode(TEXTS)
    assert np.array_equal(backend.embed_documents(TEXTS, verbose), expected)
    assert np.array_equal(backend.embed_words(np.array(TEXTS)), expected)
    assert backend.embedding_model.get_sentence_embedding_dimension() == 32
    assert capsys.readouterr().out == ""


def test_one_text_alone(encoder):
    assert encoder.encode("red bike", show_progress_bar=False).shape == (32,)


def test_what_it_cannot_give_is_refused_not_ignored(encoder):
    with pytest.raises(SettingsError, match="NumPy arrays"):
        encoder.encode(TEXTS, convert_to_numpy=False)
    with pytest.raises(SettingsError, match="length 1"):
        encoder.encode(TEXTS, normalize_embeddings=False)


def test_a_model_that_normalises_itself_may_be_told_not_to(toys, tmp_path):
    folder = toys.write_st_layout(toys.write(tmp_path / "model"))
    assert Encoder(folder, device="cpu", threads=1).encode(TEXTS, normalize_embeddings=False).shape == (4, 32)


def test_an_encoder_from_settings(toy_folder):
    settings = Settings(
        model=str(toy_folder), device="cpu", threads=1, max_tokens=9, prompt="red ", long_texts="chunk", dtype="float32"
    )
    encoder = Encoder.from_settings(settings, cache=None)
    plain = Encoder(toy_folder, device="cpu", threads=1, max_tokens=9, prompt="red ", long_texts="chunk")
    assert encoder.identity == plain.identity
    assert np.array_equal(encoder.encode(TEXTS), plain.encode(TEXTS))
    with pytest.raises(SettingsError, match="not trained for 3 dimensions"):
        Encoder.from_settings(settings.model_copy(update={"dim": 3}))


@pytest.mark.parametrize("options", [{"dim": 0}, {"long_texts": "drop"}, {"batch_tokens": 0}])
def test_impossible_options(options, toy_folder):
    with pytest.raises(SettingsError):
        Encoder(toy_folder, device="cpu", **options)
