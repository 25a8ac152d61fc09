import numpy as np

from uicgpu.recommend.text import TextSimilarity


def test_cosine_to_the_interest_vector(world):
    events = world.random(13)
    vectors = world.vectors(3, events.n_items)
    vectors[4] = 0
    part = world.part(events, vectors)
    scores = TextSimilarity().fit(part).score(world.everyone(part))
    known = vectors[(part.item_counts > 0) & (vectors != 0).any(axis=1)].astype(np.float64)
    centred = vectors - known.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    centred[4] = 0
    for user in (0, 5):
        history = part.interactions.history(user)
        idf = 1 / np.log(2.0 + part.item_counts[history])
        vector = (np.log1p(part.interactions.weights[0]) * idf[:, None] * centred[history]).sum(axis=0)
        np.testing.assert_allclose(scores[user], centred @ vector / np.linalg.norm(vector), rtol=1e-3, atol=1e-5)


def test_an_unseen_item_with_the_text_of_the_history_comes_first(world):
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    part = world.part(world.events([0, 1, 2], [0, 1, 2], n_items=4), vectors)
    scores = TextSimilarity().fit(part).score(world.everyone(part))
    assert scores[0, 3] == scores[0, 0] == scores[0].max()
    entries = TextSimilarity().fit(part).strongest(world.everyone(part), np.array([0]), np.array([3], np.int32), 1)
    assert entries.tolist() == [[0]]
